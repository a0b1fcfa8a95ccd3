#include "axlstm/hear/events.h"

#include <gtest/gtest.h>

#include "axlstm/core/error.h"

namespace axlstm::hear {
namespace {

std::vector<char> filtered(const std::vector<char>& active, std::int64_t width) { return median_filter(active, width); }

// scipy.ndimage.median_filter(x, size=width)
TEST(MedianFilterTest, EqualsScipysForOddAndEvenWidths) {
  const std::vector<char> x{1, 0, 1, 1, 0, 0, 0, 1, 0, 1};
  EXPECT_EQ(filtered(x, 0), x);
  EXPECT_EQ(filtered(x, 1), x);
  EXPECT_EQ(filtered(x, 2), (std::vector<char>{1, 1, 1, 1, 1, 0, 0, 1, 1, 1}));
  EXPECT_EQ(filtered(x, 3), (std::vector<char>{1, 1, 1, 1, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(filtered(x, 4), (std::vector<char>{1, 1, 1, 1, 1, 0, 0, 0, 1, 1}));
}

TEST(MedianFilterTest, ReflectsMoreThanOnceWhenWiderThanTheFile) {
  EXPECT_EQ(filtered({1, 0}, 9), (std::vector<char>{1, 0}));  // … 1 0 0 1 [1] 0 0 1 1 and … 0 0 1 1 [0] 0 1 1 0
  EXPECT_TRUE(filtered({}, 5).empty());
}

TEST(FindEventsTest, ReachesFromTheFirstToTheLastFrame) {
  const std::vector<double> times{0, 50, 100, 150, 200};
  const std::vector<float> two_classes{.9F, .1F, /**/ .6F, .5F, /**/ .2F, .6F, /**/ .1F, .7F, /**/ .8F, .9F};
  const std::vector<ClassEvent> expected{{0, 0, 50}, {1, 100, 200}, {0, 200, 200}};  // 0.5 is not above 0.5
  EXPECT_EQ(find_events(two_classes, times, 2, {0, 0}), expected);
  EXPECT_EQ(find_events(two_classes, times, 2, {0, 50}), (std::vector<ClassEvent>{{0, 0, 50}, {1, 100, 200}}));
  EXPECT_EQ(find_events(two_classes, times, 2, {0, 100}), (std::vector<ClassEvent>{{1, 100, 200}}));
}

TEST(FindEventsTest, RoundsTheFilterToTheEvenFrame) {
  const std::vector<float> probabilities{0, 1, 0, 1, 1, 0, 0};
  const std::vector<double> times{0, 100, 200, 300, 400, 500, 600};
  // 250 / 100 = 2.5 frames are 2, 350 / 100 = 3.5 are 4
  EXPECT_EQ(find_events(probabilities, times, 1, {250, 0}), (std::vector<ClassEvent>{{0, 100, 500}}));
  EXPECT_EQ(find_events(probabilities, times, 1, {350, 0}), (std::vector<ClassEvent>{{0, 0, 0}, {0, 200, 500}}));
}

TEST(FindEventsTest, DoesNotFilterASingleFrame) {
  EXPECT_EQ(find_events(std::vector<float>{.9F}, std::vector<double>{0}, 1, {250, 0}),
            (std::vector<ClassEvent>{{0, 0, 0}}));
}

TEST(PostprocessingTest, ComesFromTheMetadataOrIsTheDefault) {
  TaskMetadata metadata;
  EXPECT_EQ(postprocessing_points(metadata), (std::vector<Postprocessing>{{250, 125}, {250, 250}}));
  metadata.event_postprocessing_grid = {{"median_filter_ms", {150, 50}}, {"min_duration", {50, 0}}};
  EXPECT_EQ(postprocessing_points(metadata), (std::vector<Postprocessing>{{150, 50}, {150, 0}, {50, 50}, {50, 0}}));
  metadata.event_postprocessing_grid.erase("min_duration");
  EXPECT_THROW(postprocessing_points(metadata), Error);
  metadata.event_postprocessing_grid["threshold"] = {0.5};
  EXPECT_THROW(postprocessing_points(metadata), Error);
}

}  // namespace
}  // namespace axlstm::hear
