// Attention within windows by CUDA kernels against LibTorch's operators in float64, held to twice the error of those
// operators in the same type. Compiled twice: into cuda_test for the GPU, and, with AXLSTM_EMULATED, into kernels_test,
// where the emulator runs the kernels on the CPU.
#include "axlstm/ops/window_attention.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>

#include "../src/ops/window_backends.h"
#include "axlstm/core/error.h"

namespace axlstm::ops {
namespace {

#ifdef AXLSTM_EMULATED
const torch::Device kDevice = torch::kCPU;
#else
const torch::Device kDevice = torch::kCUDA;
#endif

struct Case {
  std::int64_t B, S, DH;
  std::vector<std::int64_t> windows;
  torch::ScalarType dtype;
  double scale = 1;  ///< of q, k and v
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& c = info.param;
  return str("B", c.B, "_S", c.S, "_NH", c.windows.size(), "_DH", c.DH, c.scale > 2 ? "_sharp_" : "_",
             c10::toString(c.dtype));
}

class WindowKernel : public testing::TestWithParam<Case> {};

using Attention = torch::Tensor (*)(const torch::Tensor&, const WindowHeads&);

/// The result and the gradients of q, k, v and of all tables together.
std::vector<torch::Tensor> run(Attention attention, const torch::Tensor& qkv, const WindowHeads& heads,
                               const torch::Tensor& gradient, torch::ScalarType type, torch::ScalarType table_type) {
  const auto x = qkv.to(type).detach().clone().requires_grad_();
  WindowHeads leaves{heads.windows, {}};
  for (const auto& table : heads.tables) {
    leaves.tables.emplace_back();
    if (table.defined()) leaves.tables.back() = table.to(table_type).detach().clone().requires_grad_();
  }
  const auto y = attention(x, leaves);
  EXPECT_EQ(y.scalar_type(), type);
  y.backward(gradient.to(type));
  std::vector<torch::Tensor> results{y.detach()};
  for (const auto& part : x.grad().chunk(3, -1)) results.push_back(part);
  std::vector<torch::Tensor> tables;
  for (const auto& table : leaves.tables) {
    if (table.defined()) tables.push_back(table.grad().flatten());
  }
  if (!tables.empty()) results.push_back(torch::cat(tables));
  for (auto& result : results) result = result.to(torch::kFloat64);
  return results;
}

TEST_P(WindowKernel, IsAsExactAsLibTorchInTheSameType) {
  const auto& c = GetParam();
  if (kDevice.is_cuda() && !torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  torch::manual_seed(static_cast<std::uint64_t>(c.S * 100 + c.DH));
  const std::int64_t width = static_cast<std::int64_t>(c.windows.size()) * c.DH;
  const auto qkv = (torch::randn({c.B, c.S, 3 * width}).to(kDevice) * c.scale).to(c.dtype);
  const auto gradient = torch::randn({c.B, c.S, width}).to(kDevice).to(c.dtype);
  WindowHeads heads{c.windows, {}};
  for (const std::int64_t window : c.windows) {
    heads.tables.emplace_back();
    if (window > 0) heads.tables.back() = torch::randn({2 * window - 1, 1}).to(kDevice);
  }
  ASSERT_EQ(cuda_window_obstacle(qkv, heads), "");
  const auto exact = run(window_attention_reference, qkv, heads, gradient, torch::kFloat64, torch::kFloat64);
  const auto eager = run(window_attention_reference, qkv, heads, gradient, c.dtype, torch::kFloat32);
  const auto own = run(window_attention_cuda, qkv, heads, gradient, c.dtype, torch::kFloat32);
  const auto again = run(window_attention_cuda, qkv, heads, gradient, c.dtype, torch::kFloat32);
  ASSERT_EQ(own.size(), exact.size());
  const char* names[] = {"mixed", "dq", "dk", "dv", "dtables"};
  const double rounding = c.dtype == torch::kFloat16 ? 5e-4 : 4e-3;  // below this the error is that of storing
  for (std::size_t n = 0; n < exact.size(); ++n) {
    const auto error = [&](const torch::Tensor& x) {
      return (x - exact[n]).norm().item<double>() / exact[n].norm().item<double>();
    };
    EXPECT_TRUE(error(own[n]) <= std::max(2 * error(eager[n]), rounding))
        << names[n] << ": " << error(own[n]) << ", LibTorch " << error(eager[n]);
    EXPECT_TRUE(own[n].equal(again[n])) << names[n];
    RecordProperty(names[n], str(error(own[n]), " of ", error(eager[n])));
  }
}

constexpr auto kHalf = torch::kFloat16, kBrain = torch::kBFloat16;

INSTANTIATE_TEST_SUITE_P(Small, WindowKernel,
                         testing::Values(Case{2, 20, 16, {2, 5, 0, 10}, kBrain}, Case{1, 50, 48, {25, 0, 10}, kHalf},
                                         Case{2, 33, 32, {11, 33, 3, 1}, kBrain}, Case{1, 150, 64, {0, 0}, kHalf},
                                         Case{1, 75, 64, {25, 75, 15}, kBrain, 4},
                                         Case{1, 250, 48, {2, 5, 10, 25, 50, 125, 0, 0}, kBrain},
                                         Case{1, 250, 48, {2, 5, 10, 25, 50, 125, 0, 0}, kHalf, 3}),
                         name_of);

#ifndef AXLSTM_EMULATED
INSTANTIATE_TEST_SUITE_P(Large, WindowKernel,
                         testing::Values(Case{37, 250, 48, {2, 5, 10, 25, 50, 125, 0, 0}, kBrain},
                                         Case{37, 250, 48, {2, 5, 10, 25, 50, 125, 0, 0}, kHalf}),
                         name_of);
#endif

TEST(WindowAttention, WhatDoesNotFitIsNamed) {
  const auto refused = [](const torch::Tensor& qkv, const WindowHeads& heads) {
    EXPECT_THROW(window_attention(qkv, heads), Error);
  };
  const auto table = [](std::int64_t window) { return torch::zeros({2 * window - 1, 1}); };
  const auto qkv = torch::zeros({1, 10, 12});
  EXPECT_NO_THROW(window_attention(qkv, {{2, 0}, {table(2), {}}}));
  refused(qkv, {{3, 0}, {table(3), {}}});
  refused(qkv, {{2, 0}, {table(5), {}}});
  refused(qkv, {{2, 0}, {table(2), table(2)}});
  refused(qkv, {{2, 0}, {{}, {}}});
  refused(qkv, {{2, 0, 0}, {table(2), {}, {}}});
}

}  // namespace
}  // namespace axlstm::ops
