#include "axlstm/metrics/classification.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "axlstm/core/error.h"

namespace axlstm::metrics {
namespace {

using Table = std::vector<float>;

double score_of(const std::string& name, const Table& predictions, const Table& targets, std::int64_t C) {
  return score(name, {predictions, targets, C});
}

TEST(MetricsTest, CountsTheMostProbableClass) {
  const Table targets{1, 0, 0, /**/ 0, 1, 0, /**/ 0, 0, 1, /**/ 0, 0, 1};
  const Table predictions{.5F, .3F, .2F, /**/ .6F, .3F, .1F, /**/ .1F, .1F, .8F, /**/ .2F, .4F, .4F};
  EXPECT_EQ(score_of("top1_acc", predictions, targets, 3), 0.5);  // the tie of the last clip goes to class 1
  EXPECT_EQ(score_of("pitch_acc", predictions, targets, 3), 0.5);
}

TEST(MetricsTest, ComparesOnlyTheFirstOfSeveralLabels) {
  const Table targets{0, 1, 1, /**/ 0, 0, 0};
  EXPECT_EQ(score_of("top1_acc", {0, 1, 2, /**/ 3, 2, 1}, targets, 3), 0.5);  // no label counts as class 0
}

TEST(MetricsTest, FoldsPitchesIntoOctaves) {
  Table targets(14 * 2), predictions(14 * 2);
  targets[1] = predictions[13] = 1;       // 1 and 13 are the same chroma
  targets[14 + 2] = predictions[14] = 1;  // 2 and 0 are not
  EXPECT_EQ(score_of("chroma_acc", predictions, targets, 14), 0.5);
  EXPECT_EQ(score_of("pitch_acc", predictions, targets, 14), 0.0);
}

TEST(MetricsTest, AveragesPrecisionOverRecallSteps) {
  // From the top: hit, miss, hit, miss. Precision 1 for the first half of the hits, 2/3 for the second.
  EXPECT_DOUBLE_EQ(score_of("mAP", {.9F, .8F, .7F, .6F}, {1, 0, 1, 0}, 1), 0.5 * 1.0 + 0.5 * 2.0 / 3.0);
}

TEST(MetricsTest, TakesTiedPredictionsAsOneStep) {
  EXPECT_DOUBLE_EQ(score_of("mAP", {.5F, .5F, .5F, .5F}, {1, 0, 0, 0}, 1), 0.25);
  EXPECT_DOUBLE_EQ(score_of("aucroc", {.5F, .5F, .5F, .5F}, {1, 0, 0, 0}, 1), 0.5);
  EXPECT_DOUBLE_EQ(score_of("d_prime", {.5F, .5F, .5F, .5F}, {1, 0, 0, 0}, 1), 0.0);
}

TEST(MetricsTest, CountsOrderedPairsForTheRocCurve) {
  // Three of the four pairs (positive, negative) are in the right order.
  EXPECT_DOUBLE_EQ(score_of("aucroc", {.9F, .8F, .7F, .6F}, {1, 0, 1, 0}, 1), 0.75);
  EXPECT_NEAR(score_of("d_prime", {.9F, .8F, .7F, .6F}, {1, 0, 1, 0}, 1), 0.9538725524, 1e-9);  // sqrt(2) * 0.67449
}

TEST(MetricsTest, IsInfiniteForSeparatedClasses) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(score_of("d_prime", {.9F, .1F}, {1, 0}, 1), kInf);
  EXPECT_EQ(score_of("d_prime", {.1F, .9F}, {1, 0}, 1), -kInf);
}

TEST(MetricsTest, HandlesClassesOfOneKindAsScikitLearn) {
  // Class 0 is in every clip, class 1 in none.
  const Table targets{1, 0, /**/ 1, 0};
  const Table predictions{.2F, .3F, /**/ .4F, .1F};
  EXPECT_EQ(score_of("mAP", predictions, targets, 2), 0.5);
  EXPECT_TRUE(std::isnan(score_of("aucroc", predictions, targets, 2)));
  EXPECT_TRUE(std::isnan(score_of("d_prime", predictions, targets, 2)));
}

// scikit-learn 1.9.0, NumPy 2.4.6, SciPy 1.17.1:
//   n, c = numpy.arange(1500)[:, None], numpy.arange(9)[None]
//   h = (n * 7919 + c * 104729 + n * n * 31) % 1009
//   t = (h % 7 < 2).astype("f4")
//   p = (((h * (c + 3)) % 997 + 100 * t * (h % 5)) / 2048).astype("f4")
//   roc_auc_score(t, p), average_precision_score(t, p)
//   numpy.mean(ndtri(roc_auc_score(t, p, average=None)) * numpy.sqrt(2)), numpy.mean(p.argmax(1) == t.argmax(1))
TEST(MetricsTest, EqualsScikitLearnToTheLastDigit) {
  constexpr std::int64_t kC = 9;
  Table predictions, targets;
  for (std::int64_t n = 0; n < 1500; ++n) {
    for (std::int64_t c = 0; c < kC; ++c) {
      const std::int64_t h = (n * 7919 + c * 104729 + n * n * 31) % 1009;
      const std::int64_t t = h % 7 < 2 ? 1 : 0;
      targets.push_back(static_cast<float>(t));
      predictions.push_back(static_cast<float>((h * (c + 3)) % 997 + 100 * t * (h % 5)) / 2048.0F);
    }
  }
  EXPECT_EQ(score_of("aucroc", predictions, targets, kC), 0.6621415669151764);
  EXPECT_EQ(score_of("mAP", predictions, targets, kC), 0.5271337095012794);
  EXPECT_EQ(score_of("d_prime", predictions, targets, kC), 0.5921780846339458);
  EXPECT_EQ(score_of("top1_acc", predictions, targets, kC), 0.216);
}

TEST(MetricsTest, RefusesWhatCannotBeScored) {
  EXPECT_THROW(score_of("f1", {1}, {1}, 1), Error);
  EXPECT_THROW(score_of("mAP", {1, 2}, {1}, 1), Error);
  EXPECT_THROW(score_of("mAP", {1, 2, 3}, {1, 0, 1}, 2), Error);
  EXPECT_THROW(score_of("mAP", {}, {}, 2), Error);
  EXPECT_THROW(score_of("aucroc", {std::nanf(""), 0.5F}, {1, 0}, 1), Error);
}

}  // namespace
}  // namespace axlstm::metrics
