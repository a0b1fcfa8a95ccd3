#include "axlstm/objective/augmentation.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace axlstm::objective {
namespace {

/// Ones [B, 1, L, F].
torch::Tensor ones(std::int64_t clips, std::int64_t frames, std::int64_t mels) {
  return torch::ones({clips, 1, frames, mels});
}

TEST(SpecAugment, MasksAsManyPlacesAsDrawnFromWhereDrawn) {
  // Widths ⌊u·5⌋ = 0, 2, 4; starts ⌊u·(10 − width + 1)⌋.
  const auto u = torch::tensor({{0.1, 0.5}, {0.45, 0.0}, {0.99, 0.999}});
  const auto x = masked(ones(3, 6, 10), 3, 4, u);
  const auto row = [&](int clip) { return x[clip][0][0]; };
  EXPECT_TRUE(row(0).equal(torch::ones({10})));
  EXPECT_TRUE(row(1).equal(torch::tensor({0., 0., 1., 1., 1., 1., 1., 1., 1., 1.}).to(torch::kFloat32)));
  EXPECT_TRUE(row(2).equal(torch::tensor({1., 1., 1., 1., 1., 1., 0., 0., 0., 0.}).to(torch::kFloat32)));
  EXPECT_TRUE(x.select(2, 0).equal(x.select(2, 5))) << "all frames alike";
}

TEST(SpecAugment, MasksFrames) {
  const auto x = masked(ones(1, 10, 4), 2, 4, torch::tensor({{0.99, 0.5}}));  // 4 from ⌊0.5·7⌋ = 3 on
  EXPECT_TRUE(x[0][0].select(1, 2).equal(torch::tensor({1., 1., 1., 0., 0., 0., 0., 1., 1., 1.}).to(torch::kFloat32)));
  EXPECT_TRUE(masked(ones(1, 3, 3), 2, 0, torch::rand({1, 2})).equal(ones(1, 3, 3)));
}

TEST(SpecAugment, WidthsAndStartsAreUniform) {
  torch::manual_seed(1);
  const auto x = masked(ones(20000, 1, 8), 3, 3, torch::rand({20000, 2}));
  const auto widths = (8 - x.sum({1, 2, 3})).to(torch::kInt64);
  for (int width = 0; width <= 3; ++width)
    EXPECT_NEAR((widths == width).to(torch::kFloat32).mean().item<double>(), 0.25, 0.015) << width;
  const auto three = x.index({widths == 3}).squeeze();
  for (int first = 0; first <= 5; ++first) {
    auto pattern = torch::ones({8});
    pattern.narrow(0, first, 3).zero_();
    EXPECT_NEAR((three == pattern).all(-1).to(torch::kFloat32).mean().item<double>(), 1.0 / 6, 0.02) << first;
  }
}

TEST(TimeRoll, RollsEachCropByItsOwnShift) {
  const auto x = torch::randn({3, 1, 7, 4});
  const auto y = rolled(x, 2, torch::tensor({0.0, 0.5, 0.999}));  // −2, 0, 2
  EXPECT_TRUE(y[0].equal(x[0].roll(-2, 1)));
  EXPECT_TRUE(y[1].equal(x[1]));
  EXPECT_TRUE(y[2].equal(x[2].roll(2, 1)));
  EXPECT_TRUE(rolled(x, 0, torch::rand({3})).equal(x));
}

TEST(DropPath, RisesFromNothingToTheRate) {
  torch::manual_seed(2);
  const auto factors = drop_path_factors(torch::rand({50000, 6}), 0.4, /*per_block=*/2);  // three blocks: 0, 0.2, 0.4
  ASSERT_EQ(factors.sizes(), (std::vector<std::int64_t>{6, 50000}));
  for (int branch = 0; branch < 6; ++branch) {
    const double rate = 0.2 * (branch / 2);
    EXPECT_NEAR((factors[branch] == 0).to(torch::kFloat32).mean().item<double>(), rate, 0.01) << branch;
    EXPECT_NEAR(factors[branch].max().item<double>(), 1 / (1 - rate), 1e-6);
    EXPECT_NEAR(factors[branch].mean().item<double>(), 1, 0.02) << "what is expected stays";
  }
}

TEST(Dropout, KeepsTheExpectation) {
  const auto factors = dropout_factors(torch::tensor({0.1, 0.25, 0.9}), 0.25);
  EXPECT_TRUE(factors.allclose(torch::tensor({0.0, 4.0 / 3, 4.0 / 3})));
}

}  // namespace
}  // namespace axlstm::objective
