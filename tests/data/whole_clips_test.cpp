#include "axlstm/data/whole_clips.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <numeric>

#include "data/clips.h"

namespace axlstm::data {
namespace {

using Starts = std::vector<std::int64_t>;

TEST(CropStarts, CoverAClipEvenly) {
  EXPECT_EQ(crop_starts(100, 200), Starts{0});
  EXPECT_EQ(crop_starts(200, 200), Starts{0});
  EXPECT_EQ(crop_starts(201, 200), (Starts{0, 1}));
  EXPECT_EQ(crop_starts(400, 200), (Starts{0, 200}));
  EXPECT_EQ(crop_starts(1001, 200), (Starts{0, 160, 320, 480, 640, 801}));
}

class WholeClipsTest : public testing::Test {
 protected:
  /// The mean of each crop's first 20 bins.
  static torch::Tensor means(const torch::Tensor& crops) { return crops.narrow(3, 0, 20).mean({1, 2}); }

  test::Clips clips_{{2.5, 6.0, 0.7, 1.0}};
};

TEST_F(WholeClipsTest, AverageOverTheCropsOfEachClip) {
  auto dataset = clips_.dataset();
  const auto found = over_whole_clips(dataset, {0, 1, 2, 3}, {.crop_frames = 100, .batch = 3}, means);
  EXPECT_EQ(found.clips, (std::vector<std::int64_t>{0, 1, 2, 3}));
  for (std::int64_t clip = 0; clip < 4; ++clip) {
    const auto features = dataset.features(clip);
    auto sum = torch::zeros({20});
    const auto starts = crop_starts(features.size(0), 100);
    for (const auto start : starts)
      sum += crop_of(features, 100, [&](auto, auto) { return start; }).narrow(1, 0, 20).mean(0);
    EXPECT_TRUE(found.values[clip].allclose(sum / static_cast<double>(starts.size()), 1e-4, 1e-5)) << clip;
  }
}

TEST_F(WholeClipsTest, ClipsThatCannotBeReadAreLeftOut) {
  clips_.folder().write("01.wav", "no sound");
  DataOptions options;
  options.max_bad_fraction = 0.5;
  auto dataset = clips_.dataset(options);
  const auto found = over_whole_clips(dataset, {0, 1, 3}, {.crop_frames = 100, .batch = 2}, means);
  EXPECT_EQ(found.clips, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(found.values.size(0), 2);
  EXPECT_EQ(dataset.bad_count(), 1);
  const auto alone = over_whole_clips(dataset, {3}, {.crop_frames = 100, .batch = 2}, means);
  EXPECT_TRUE(alone.values[0].allclose(found.values[1]));
}

}  // namespace
}  // namespace axlstm::data
