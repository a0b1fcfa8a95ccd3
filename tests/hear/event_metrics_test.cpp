#include "axlstm/hear/event_metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "axlstm/core/error.h"

namespace axlstm::hear {
namespace {

constexpr EventMatching kOnset200{0.2, -1.0};

TEST(EventMatchingTest, FindsTheLargestNumberOfPairs) {
  // 0.15 is near both references, 0.3 near the second one only: taking the second one first would lose a pair.
  const FileEvents file{{{0, 0, 500}, {0, 200, 900}}, {{0, 150, 800}, {0, 300, 400}}};
  EXPECT_EQ(count_matches(file, kOnset200), 2);
  const FileEvents crossing{{{0, 200, 900}, {0, 0, 500}}, {{0, 150, 800}, {0, 300, 400}}};
  EXPECT_EQ(count_matches(crossing, kOnset200), 2);
  const FileEvents doubled{{{0, 0, 500}}, {{0, 0, 500}, {0, 10, 500}}};
  EXPECT_EQ(count_matches(doubled, kOnset200), 1);
}

TEST(EventMatchingTest, NeedsTheClassAndTheOnset) {
  EXPECT_EQ(count_matches({{{0, 0, 500}}, {{1, 0, 500}}}, kOnset200), 0);
  EXPECT_EQ(count_matches({{{0, 0, 500}}, {{0, 200, 500}}}, kOnset200), 1);  // the collar belongs to it
  EXPECT_EQ(count_matches({{{0, 0, 500}}, {{0, 200.1, 500}}}, kOnset200), 0);
}

TEST(EventMatchingTest, AllowsOffsetsAShareOfTheLength) {
  constexpr EventMatching kOnsetOffset{0.05, 0.2};
  EXPECT_EQ(count_matches({{{0, 0, 1000}}, {{0, 0, 1200}}}, kOnsetOffset), 1);
  EXPECT_EQ(count_matches({{{0, 0, 1000}}, {{0, 0, 1210}}}, kOnsetOffset), 0);
  EXPECT_EQ(count_matches({{{0, 0, 100}}, {{0, 0, 150}}}, kOnsetOffset), 1);  // the collar is wider than the share
  EXPECT_EQ(count_matches({{{0, 0, 100}}, {{0, 0, 151}}}, kOnsetOffset), 0);
}

TEST(EventScoreTest, SumsCountsOverFilesBeforeTheRatios) {
  const std::vector<FileEvents> files{{{{0, 0, 500}, {1, 1000, 1500}}, {{0, 0, 500}}}, {{{0, 0, 100}}, {{1, 0, 100}}}};
  const auto scores = event_score("event_onset_200ms_fms", files, 2);
  ASSERT_EQ(scores.size(), 3U);
  EXPECT_EQ(scores[0].first, "f_measure");
  EXPECT_DOUBLE_EQ(scores[0].second, 0.4);        // 2 · 1/2 · 1/3 / (1/2 + 1/3)
  EXPECT_DOUBLE_EQ(scores[1].second, 0.5);        // precision: one of two
  EXPECT_DOUBLE_EQ(scores[2].second, 1.0 / 3.0);  // recall: one of three
}

TEST(EventScoreTest, IsNotANumberWhenNothingWasFound) {
  const std::vector<FileEvents> nothing{{{{0, 0, 500}}, {}}};
  const FMeasure none = event_f_measure(nothing, kOnset200);
  EXPECT_TRUE(std::isnan(none.f_measure));
  EXPECT_TRUE(std::isnan(none.precision));
  EXPECT_EQ(none.recall, 0.0);
  const std::vector<FileEvents> wrong{{{{0, 0, 500}}, {{1, 0, 500}}}};
  EXPECT_EQ(event_f_measure(wrong, kOnset200).f_measure, 0.0);
}

TEST(EventScoreTest, CountsErrorsInSegmentsOfOneSecond) {
  // Second 0: class 0 is there, class 1 is said: a substitution. Second 1: both there, one said: a deletion.
  // Second 2: nothing there, class 1 said: an insertion.
  const std::vector<FileEvents> files{{{{0, 500, 1500}, {1, 1000, 2000}}, {{1, 0, 2100}}}};
  const auto scores = event_score("segment_1s_er", files, 2);
  ASSERT_EQ(scores.size(), 1U);
  EXPECT_EQ(scores[0].first, "error_rate");
  EXPECT_DOUBLE_EQ(scores[0].second, 1.0);  // three errors for three active classes
  EXPECT_EQ(segment_error_rate(std::vector<FileEvents>{{{{0, 0, 900}}, {{0, 0, 100}}}}, 1), 0.0);
}

TEST(EventScoreTest, RefusesOtherNames) {
  EXPECT_TRUE(is_event_score("segment_1s_er"));
  EXPECT_TRUE(is_event_score("event_onset_offset_50ms_20perc_fms"));
  EXPECT_FALSE(is_event_score("mAP"));
  EXPECT_THROW(event_score("mAP", {}, 2), Error);
}

}  // namespace
}  // namespace axlstm::hear
