#include "axlstm/nn/layers.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/nn/patch_embed.h"
#include "axlstm/nn/pos_embed.h"
#include "support/golden.h"

namespace axlstm::nn {
namespace {

constexpr double kLimit = 1e-5;

template <typename Module>
void set(Module& module, const char* parameter, const torch::Tensor& value) {
  const torch::NoGradGuard no_grad;
  module->named_parameters()[parameter].copy_(value);
}

TEST(ResidualLayerNorm, ScalesTheNormalisedInputByOnePlusWeight) {
  torch::manual_seed(0);
  const auto x = torch::randn({2, 5, 8}) * 3 + 1;
  const auto weight = torch::randn({8});
  ResidualLayerNorm norm(8);
  const auto normalised = (x - x.mean(-1, true)) / (x.var(-1, /*unbiased=*/false, /*keepdim=*/true) + 1e-5).sqrt();
  EXPECT_LE(test::absolute_error(norm->forward(x), normalised), kLimit);
  set(norm, "weight", weight);
  EXPECT_LE(test::absolute_error(norm->forward(x), normalised * (1 + weight)), kLimit);
}

TEST(MultiHeadLayerNorm, NormalisesEachTokensHeadsByThemselves) {
  torch::manual_seed(0);
  const auto h = torch::randn({2, 5, 4, 6}) * 3 + 1;  // [B, S, NH, DH]
  const auto weight = torch::randn({24});
  MultiHeadLayerNorm norm(24);
  set(norm, "weight", weight);
  const auto normalised = (h - h.mean(-1, true)) / (h.var(-1, false, true) + 1e-5).sqrt();
  EXPECT_LE(test::absolute_error(norm->forward(h), normalised.flatten(-2) * (1 + weight)), kLimit);
}

TEST(BlockDiagonalLinear, EqualsTheFullMatrix) {
  torch::manual_seed(0);
  BlockDiagonalLinear linear(12, 4, 0.5);
  const auto weight = linear->named_parameters()["weight"].detach();
  const auto x = torch::randn({2, 5, 12});
  const auto full = torch::block_diag({weight[0], weight[1], weight[2]});
  EXPECT_LE(test::absolute_error(linear->forward(x), x.matmul(full.t())), kLimit);
  EXPECT_THROW(BlockDiagonalLinear(10, 4, 0.5), Error);
}

TEST(CausalConv1d, IsASumOverTheLastFourTokensOfEachChannel) {
  torch::manual_seed(0);
  CausalConv1d conv(3, 4);
  const auto weight = conv->named_parameters()["conv.weight"].detach();  // [3, 1, 4]
  const auto bias = conv->named_parameters()["conv.bias"].detach();
  const auto x = torch::randn({2, 6, 3});
  auto expected = bias.expand({2, 6, 3}).clone();
  for (std::int64_t t = 0; t < 6; ++t) {
    for (std::int64_t back = 0; back < 4 && back <= t; ++back) {
      expected.select(1, t) += x.select(1, t - back) * weight.select(2, 3 - back).squeeze(1);
    }
  }
  EXPECT_LE(test::absolute_error(conv->forward(x), expected), kLimit);
}

TEST(Patchify, TokensAndPixelsAreInTimeMajorOrder) {
  const auto spectrogram = torch::arange(200 * 80, torch::kFloat32).view({1, 1, 200, 80});
  const auto patches = patchify(spectrogram, 4, 16);
  ASSERT_EQ(patches.sizes(), (std::vector<std::int64_t>{1, 250, 64}));
  for (const std::int64_t row : {0, 1, 49}) {
    for (const std::int64_t column : {0, 3, 4}) {
      const auto expected =
          spectrogram[0][0].slice(0, 4 * row, 4 * row + 4).slice(1, 16 * column, 16 * column + 16).reshape({64});
      EXPECT_TRUE(patches[0][row * 5 + column].equal(expected)) << row << ", " << column;
    }
  }
}

TEST(Patchify, UnpatchifyIsTheInverse) {
  torch::manual_seed(0);
  for (const auto& [frames, mels] : std::vector<std::pair<int, int>>{{4, 16}, {8, 16}, {4, 8}, {200, 80}, {1, 1}}) {
    const auto spectrogram = torch::randn({2, 1, 200, 80});
    EXPECT_TRUE(unpatchify(patchify(spectrogram, frames, mels), frames, mels, 80).equal(spectrogram))
        << frames << "×" << mels;
  }
}

TEST(Patchify, ShapesThatDoNotFitAreErrors) {
  EXPECT_THROW(patchify(torch::zeros({1, 1, 201, 80}), 4, 16), Error);
  EXPECT_THROW(patchify(torch::zeros({1, 200, 80}), 4, 16), Error);
  EXPECT_THROW(unpatchify(torch::zeros({1, 250, 63}), 4, 16, 80), Error);
  EXPECT_THROW(unpatchify(torch::zeros({1, 251, 64}), 4, 16, 80), Error);
  EXPECT_THROW(unpatchify(torch::zeros({250, 64}), 4, 16, 80), Error);
  EXPECT_THROW(unpatchify(torch::zeros({1, 250, 64}), 4, 16, 8), Error);
}

TEST(PatchEmbed, IsAStridedConvolution) {
  torch::manual_seed(0);
  PatchEmbed embed(12, 4, 16);
  const torch::NoGradGuard no_grad;
  const auto weight = embed->named_parameters()["proj.weight"], bias = embed->named_parameters()["proj.bias"];
  bias.normal_();
  const auto spectrogram = torch::randn({2, 1, 8, 32});
  const auto convolved = torch::conv2d(spectrogram, weight, bias, /*stride=*/{4, 16}).flatten(2).transpose(1, 2);
  EXPECT_LE(test::absolute_error(embed->forward(spectrogram), convolved), kLimit);
}

TEST(Positions, AreSinesAndCosinesOfColumnThenRow) {
  const auto positions = sincos_positions(8, 3, 5);
  ASSERT_EQ(positions.sizes(), (std::vector<std::int64_t>{1, 16, 8}));
  EXPECT_EQ(positions[0][0].abs().max().item<float>(), 0.0F);  // the class token
  const double row = 2, column = 3;
  const std::vector<double> angles{column, column / 100, row, row / 100};
  const auto token = positions[0][1 + 2 * 5 + 3];
  const std::vector<double> expected{std::sin(angles[0]), std::sin(angles[1]), std::cos(angles[0]),
                                     std::cos(angles[1]), std::sin(angles[2]), std::sin(angles[3]),
                                     std::cos(angles[2]), std::cos(angles[3])};
  EXPECT_LE(test::absolute_error(token, torch::tensor(expected, torch::kFloat64)), 1e-6);
  EXPECT_THROW(sincos_positions(10, 3, 5), Error);
}

}  // namespace
}  // namespace axlstm::nn
