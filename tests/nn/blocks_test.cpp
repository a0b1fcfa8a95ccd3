#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/core/error.h"
#include "axlstm/nn/attention_block.h"
#include "axlstm/nn/mlstm_block.h"
#include "support/golden.h"

namespace axlstm::nn {
namespace {

void randomize(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : module.parameters()) parameter.normal_(0, 0.3);
}

MlstmBlock random_block(const MlstmBlockOptions& options) {
  MlstmBlock block(options);
  randomize(*block);
  return block;
}

TEST(MlstmBlock, AReversedBlockIsTheBlockOfTheReversedSequence) {
  torch::manual_seed(0);
  MlstmBlockOptions options{.dim = 16, .expansion = 2, .reverse = false, .cell = {}};
  auto forward = random_block(options);
  options.reverse = true;
  MlstmBlock backward(options);
  const auto weights = checkpoints::state_dict(*forward);
  checkpoints::load_state_dict(*backward, {weights.begin(), weights.end()}, "forward");
  const auto x = torch::randn({2, 11, 16});
  const auto expected = forward->forward(x.flip(1)).flip(1);
  EXPECT_LE(test::relative_error(backward->forward(x), expected), 1e-6);
  EXPECT_GT(test::relative_error(backward->forward(x), forward->forward(x)), 1e-3);
}

TEST(MlstmBlock, SeesThePastOnlyAndReversedTheFutureOnly) {
  torch::manual_seed(0);
  for (const bool reverse : {false, true}) {
    auto block = random_block({.dim = 16, .expansion = 3, .reverse = reverse, .cell = {}});
    const auto x = torch::randn({1, 10, 16});
    auto changed = x.clone();
    changed.select(1, 4).normal_();
    const auto difference = (block->forward(x) - block->forward(changed)).abs().sum(-1)[0];  // [S]
    for (std::int64_t t = 0; t < 10; ++t) {
      const bool reached = reverse ? t <= 4 : t >= 4;
      EXPECT_EQ(difference[t].item<float>() > 0, reached) << (reverse ? "reversed, " : "") << "token " << t;
    }
  }
}

TEST(MlstmBlock, EqualsItsFormulas) {
  torch::manual_seed(0);
  constexpr std::int64_t D = 8, I = 16;
  auto block = random_block({.dim = D, .expansion = 2, .reverse = false, .cell = {}});
  const auto p = block->named_parameters();
  const auto x = torch::randn({1, 7, D});
  const auto u = torch::layer_norm(x, {D}, p["norm.weight"] + 1, {}, 1e-5);
  const auto up = torch::linear(u, p["layer.proj_up.weight"]);
  const auto a = up.slice(-1, 0, I), z = up.slice(-1, I);
  const auto padded = torch::constant_pad_nd(a.transpose(1, 2), {3, 0});
  const auto c = torch::silu(at::conv1d(padded, p["layer.conv1d.conv.weight"], p["layer.conv1d.conv.bias"],
                                        at::IntArrayRef{1}, at::IntArrayRef{0}, at::IntArrayRef{1}, I)
                                 .transpose(1, 2));
  const auto blocks = [&](const torch::Tensor& input, const char* name) {
    std::vector<torch::Tensor> parts;
    for (const auto& weight : p[name].unbind()) parts.push_back(weight);
    return torch::linear(input, torch::block_diag(parts));
  };
  const auto q = blocks(c, "layer.q_proj.weight"), k = blocks(c, "layer.k_proj.weight"),
             v = blocks(a, "layer.v_proj.weight");
  const auto gates = torch::cat({q, k, v}, -1);
  const auto i = torch::linear(gates, p["layer.mlstm_cell.igate.weight"], p["layer.mlstm_cell.igate.bias"]);
  const auto f = torch::linear(gates, p["layer.mlstm_cell.fgate.weight"], p["layer.mlstm_cell.fgate.bias"]);
  auto h = torch::zeros({1, 7, 4, I / 4});
  for (std::int64_t head = 0; head < 4; ++head) {
    for (std::int64_t t = 0; t < 7; ++t) {
      const auto part = [&](const torch::Tensor& s, std::int64_t at) {
        return s[0][at].slice(0, head * I / 4, (head + 1) * I / 4).to(torch::kFloat64);
      };
      std::vector<double> log_d;
      for (std::int64_t j = 0; j <= t; ++j) {
        double sum = i[0][j][head].item<double>();
        for (std::int64_t s = j + 1; s <= t; ++s) sum += -std::log1p(std::exp(-f[0][s][head].item<double>()));
        log_d.push_back(sum);
      }
      const double m = *std::max_element(log_d.begin(), log_d.end());
      auto total = torch::zeros({I / 4}, torch::kFloat64);
      double normaliser = 0;
      for (std::int64_t j = 0; j <= t; ++j) {
        const double weight = part(q, t).dot(part(k, j)).item<double>() / std::sqrt(I / 4.0) *
                              std::exp(log_d[static_cast<std::size_t>(j)] - m);
        total += weight * part(v, j);
        normaliser += weight;
      }
      h[0][t][head].copy_((total / (std::max(std::abs(normaliser), std::exp(-m)) + 1e-6)).to(torch::kFloat32));
    }
  }
  const auto mean = h.mean(-1, true), variance = h.var(-1, false, true);
  const auto normed = ((h - mean) / (variance + 1e-5).sqrt()).flatten(-2) * (p["layer.mlstm_cell.outnorm.weight"] + 1);
  const auto y = torch::linear((normed + p["layer.learnable_skip"] * c) * torch::silu(z), p["layer.proj_down.weight"]);
  EXPECT_LE(test::relative_error(block->forward(x), x + y), 1e-3);
}

TEST(AttentionBlock, EqualsItsFormulas) {
  torch::manual_seed(0);
  AttentionBlock block(AttentionBlockOptions{.dim = 12, .heads = 3});
  randomize(*block);
  const auto p = block->named_parameters();
  const auto x = torch::randn({2, 5, 12});
  const auto norm = [&](const torch::Tensor& input, const std::string& name) {
    return torch::layer_norm(input, {12}, p[name + ".weight"], p[name + ".bias"], 1e-6);
  };
  const auto linear = [&](const torch::Tensor& input, const std::string& name) {
    return torch::linear(input, p[name + ".weight"], p[name + ".bias"]);
  };
  const auto qkv = linear(norm(x, "norm1"), "attn.qkv_layer").chunk(3, -1);
  std::vector<torch::Tensor> heads;
  for (std::int64_t head = 0; head < 3; ++head) {
    const auto part = [&](int n) { return qkv[n].slice(-1, 4 * head, 4 * head + 4); };
    heads.push_back((part(0).matmul(part(1).transpose(1, 2)) / 2.0).softmax(-1).matmul(part(2)));
  }
  const auto attended = x + linear(torch::cat(heads, -1), "attn.proj_layer");
  const auto expected = attended + linear(torch::gelu(linear(norm(attended, "norm2"), "mlp.layer1")), "mlp.layer2");
  EXPECT_LE(test::relative_error(block->forward(x), expected), 1e-5);
  EXPECT_THROW(AttentionBlock(AttentionBlockOptions{.dim = 12, .heads = 5}), Error);
}

}  // namespace
}  // namespace axlstm::nn
