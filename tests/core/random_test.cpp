#include "axlstm/core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace axlstm {
namespace {

TEST(Mix64, EqualsTheReferenceGenerator) {
  // The first outputs of SplitMix64 started at 0 and at its own increment.
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(mix64(0x9e3779b97f4a7c15ULL), 0x6e789e6aa1b965f4ULL);
}

TEST(DeriveSeed, EveryPartAndItsPlaceMatter) {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t a = 0; a < 20; ++a) {
    for (std::uint64_t b = 0; b < 20; ++b) seeds.insert(derive_seed({a, b}));
    seeds.insert(derive_seed({a}));
  }
  EXPECT_EQ(seeds.size(), 420u);
  EXPECT_EQ(derive_seed({1, 2, 3}), derive_seed({1, 2, 3}));
}

TEST(UniformBelow, StaysWithinItsBound) {
  for (std::uint64_t bound : {1ULL, 2ULL, 7ULL, 1000ULL, 1ULL << 40}) {
    for (std::uint64_t seed = 0; seed < 1000; ++seed) EXPECT_LT(uniform_below(seed, bound), bound);
  }
}

TEST(UniformBelow, IsRoughlyUniform) {
  constexpr int kBound = 10, kDraws = 100'000;
  std::vector<int> counts(kBound);
  for (std::uint64_t n = 0; n < kDraws; ++n) ++counts[uniform_below(derive_seed({5, n}), kBound)];
  const double expected = static_cast<double>(kDraws) / kBound, deviation = std::sqrt(expected * (1 - 1.0 / kBound));
  for (const int count : counts) EXPECT_NEAR(count, expected, 5 * deviation);
}

TEST(Permutation, HoldsEveryNumberOnce) {
  for (const std::int64_t n : {0, 1, 2, 3, 1000}) {
    auto order = permutation(n, 7);
    ASSERT_EQ(static_cast<std::int64_t>(order.size()), n);
    std::sort(order.begin(), order.end());
    for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  }
}

TEST(Permutation, DependsOnTheSeedAlone) {
  EXPECT_EQ(permutation(100, 3), permutation(100, 3));
  EXPECT_NE(permutation(100, 3), permutation(100, 4));
}

TEST(Permutation, PutsEveryNumberEverywhereEquallyOften) {
  constexpr int kSize = 4, kDraws = 24'000;
  std::vector<int> counts(kSize * kSize);
  for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
    const auto order = permutation(kSize, derive_seed({9, seed}));
    for (int place = 0; place < kSize; ++place) ++counts[place * kSize + order[place]];
  }
  const double expected = static_cast<double>(kDraws) / kSize, deviation = std::sqrt(expected * (1 - 1.0 / kSize));
  for (const int count : counts) EXPECT_NEAR(count, expected, 5 * deviation);
}

}  // namespace
}  // namespace axlstm
