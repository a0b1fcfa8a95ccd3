#include "axlstm/metrics/clip_scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

#include "axlstm/core/error.h"

namespace axlstm::metrics {
namespace {

using Table = std::vector<float>;

ClipScores scores_of(const Table& predictions, const Table& targets, std::int64_t C, std::int64_t resamples = 0) {
  return clip_scores({predictions, targets, C}, {.resamples = resamples, .seed = 3, .threads = 2});
}

TEST(ClipScores, AreThoseOfTheFormulas) {
  // From the top: hit, miss, hit, miss; three of the four pairs are in the right order.
  const auto scores = scores_of({.9F, .8F, .7F, .6F}, {1, 0, 1, 0}, 1);
  EXPECT_DOUBLE_EQ(scores.mAP.value, 0.5 * 1.0 + 0.5 * 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(scores.AUC.value, 0.75);
  EXPECT_NEAR(scores.d_prime.value, std::numbers::sqrt2 * 0.6744897501960817, 1e-12);
  EXPECT_EQ(scores.mAP.low, scores.mAP.value);
  EXPECT_EQ(scores.mAP.high, scores.mAP.value);
}

TEST(ClipScores, TiedPredictionsAreOneStep) {
  const auto scores = scores_of({.5F, .5F, .5F, .5F}, {1, 0, 0, 0}, 1);
  EXPECT_DOUBLE_EQ(scores.mAP.value, 0.25);
  EXPECT_DOUBLE_EQ(scores.AUC.value, 0.5);
  EXPECT_NEAR(scores.d_prime.value, 0, 1e-12);
}

TEST(ClipScores, AgreeWithHearsWhereAllClassesHaveClips) {
  std::mt19937 engine(1);
  constexpr std::int64_t C = 5, N = 60;
  Table predictions, targets(C * N);
  for (std::int64_t n = 0; n < C * N; ++n) predictions.push_back(static_cast<float>(engine() % 20) / 20);
  for (std::int64_t n = 0; n < N; ++n) targets[static_cast<std::size_t>(n * C + n % C)] = 1;
  const auto scores = scores_of(predictions, targets, C);
  EXPECT_NEAR(scores.mAP.value, score("mAP", {predictions, targets, C}), 1e-12);
  EXPECT_NEAR(scores.AUC.value, score("aucroc", {predictions, targets, C}), 1e-12);
  EXPECT_EQ(scores.accuracy.value, score("top1_acc", {predictions, targets, C}));
  EXPECT_EQ(scores.scored_classes, C);
}

TEST(ClipScores, ClassesWithoutClipsOrWithAllAreLeftOut) {
  const Table targets{1, 1, 0, /**/ 0, 1, 0};
  const Table predictions{.9F, .2F, .3F, /**/ .1F, .8F, .7F};
  const auto scores = scores_of(predictions, targets, 3);
  EXPECT_EQ(scores.scored_classes, 1);
  EXPECT_EQ(scores.mAP.value, 1);
  EXPECT_EQ(scores.d_prime.value, std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(scores_of({.5F, .5F}, {1, 1}, 1).mAP.value));
}

TEST(ClipScores, OfSeveralLabelsAnyIsRight) {
  const Table targets{1, 0, 1, /**/ 0, 1, 1};
  EXPECT_EQ(scores_of({.1F, .2F, .7F, /**/ .6F, .3F, .1F}, targets, 3).accuracy.value, 0.5);
}

TEST(ClipScores, IntervalsHoldTheValueAndShrinkWithTheClips) {
  const auto of = [](std::int64_t N) {
    std::mt19937 engine(5);
    Table predictions, targets;
    for (std::int64_t n = 0; n < N; ++n) {
      const bool right = engine() % 10 < 7;  // seven of ten, within chance
      const bool first = engine() % 2 == 0;
      predictions.insert(predictions.end(), {right == first ? .8F : .2F, right == first ? .2F : .8F});
      targets.insert(targets.end(), {first ? 1.0F : 0.0F, first ? 0.0F : 1.0F});
    }
    return scores_of(predictions, targets, 2, 2000).accuracy;
  };
  for (const std::int64_t N : {100, 400}) {
    const auto accuracy = of(N);
    EXPECT_LT(accuracy.low, accuracy.value);
    EXPECT_GT(accuracy.high, accuracy.value);
    // A share of N clips deviates by √(p (1 − p) / N); 95 % are within 1.96 of that.
    const double expected = 1.96 * std::sqrt(accuracy.value * (1 - accuracy.value) / static_cast<double>(N));
    EXPECT_NEAR((accuracy.high - accuracy.low) / 2, expected, 0.1 * expected) << N;
    EXPECT_NEAR(accuracy.high - accuracy.value, accuracy.value - accuracy.low, 1e-9);
  }
}

TEST(ClipScores, IntervalsOfFewClipsHoldTheValueToo) {
  // 31 clips of nine classes, nearly at chance: percentiles of the samples would lie above the average precision.
  std::mt19937 engine(9);
  constexpr std::int64_t C = 9, N = 31;
  Table predictions, targets(C * N);
  for (std::int64_t n = 0; n < C * N; ++n) predictions.push_back(static_cast<float>(engine() % 1000) / 1000);
  for (std::int64_t n = 0; n < N; ++n) targets[static_cast<std::size_t>(n * C + n % C)] = 1;
  const auto scores = scores_of(predictions, targets, C, 500);
  for (const auto& score : {scores.mAP, scores.AUC, scores.d_prime, scores.accuracy}) {
    EXPECT_LE(score.low, score.value);
    EXPECT_GE(score.high, score.value);
  }
  EXPECT_LT(scores.mAP.low, scores.mAP.value);
  EXPECT_GE(scores.accuracy.low, 0);
}

TEST(ClipScores, DoNotDependOnTheNumberOfThreads) {
  const Table predictions{.9F, .8F, .3F, .6F, .2F}, targets{1, 0, 1, 0, 1};
  const auto one = clip_scores({predictions, targets, 1}, {.resamples = 50, .seed = 1, .threads = 1});
  const auto four = clip_scores({predictions, targets, 1}, {.resamples = 50, .seed = 1, .threads = 4});
  EXPECT_EQ(one.mAP.low, four.mAP.low);
  EXPECT_EQ(one.AUC.high, four.AUC.high);
}

TEST(ClipScores, APredictionThatIsNoNumberIsAnError) {
  EXPECT_THROW(scores_of({std::nanf(""), .5F}, {1, 0}, 1), Error);
  EXPECT_THROW(scores_of({.5F, .5F, .5F}, {1, 0}, 1), Error);
}

}  // namespace
}  // namespace axlstm::metrics
