#include "axlstm/data/class_weights.h"

#include <gtest/gtest.h>

#include "axlstm/core/error.h"

namespace axlstm::data {
namespace {

ClipClasses classes_of(const std::vector<std::vector<std::int64_t>>& clips) {
  ClipClasses classes;
  for (const auto& of_clip : clips) classes.add(of_clip);
  return classes;
}

TEST(ClassWeights, AreTheSumsOfTheClassesShares) {
  // Class 0 has three clips, class 1 two, class 2 one; the last clip has two classes.
  const auto weights = balancing_weights(classes_of({{0}, {0}, {1}, {0, 1}, {2}}), 3);
  EXPECT_EQ(weights, (std::vector<double>{1.0 / 3, 1.0 / 3, 0.5, 1.0 / 3 + 0.5, 1}));
}

TEST(WeightedDraws, FollowTheWeightsAndTheSeed) {
  std::vector<double> weights(10000, 0);
  for (std::size_t n = 0; n < 100; ++n) weights[n] = n < 50 ? 1 : 3;  // others are never drawn
  const auto draws = weighted_draws(weights, 7);
  ASSERT_EQ(draws.size(), weights.size());
  int heavy = 0;
  for (const auto clip : draws) {
    ASSERT_LT(clip, 100);
    heavy += clip >= 50 ? 1 : 0;
  }
  EXPECT_NEAR(heavy / 10000.0, 0.75, 0.015);
  EXPECT_EQ(weighted_draws(weights, 7), draws);
  EXPECT_NE(weighted_draws(weights, 8), draws);
  EXPECT_THROW(weighted_draws({0, 0}, 1), Error);
}

TEST(WeightedDraws, BalanceClasses) {
  std::vector<std::vector<std::int64_t>> classes(9000, {0});
  classes.resize(10000, {1});  // nine of ten clips are of class 0
  const auto draws = weighted_draws(balancing_weights(classes_of(classes), 2), 3);
  int rare = 0;
  for (const auto clip : draws) rare += clip >= 9000 ? 1 : 0;
  EXPECT_NEAR(rare / 10000.0, 0.5, 0.02);
}

}  // namespace
}  // namespace axlstm::data
