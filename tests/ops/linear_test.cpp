// Fused linear layers against LibTorch's operators in float64; held to twice the error of those operators in the same
// type. Compiled twice, as add_norm_test.cpp is.
#include "axlstm/ops/linear.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::ops {
namespace {

#ifdef AXLSTM_EMULATED
const torch::Device kDevice = torch::kCPU;
#else
const torch::Device kDevice = torch::kCUDA;
#endif

struct Case {
  std::int64_t tokens, K, N;
  Gelu gelu;
  torch::ScalarType dtype;
};

class FusedLinear : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (kDevice.is_cpu()) return;
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    const std::string obstacle = linear_obstacle(kDevice, GetParam().dtype, GetParam().N);
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }
};

struct Values {
  torch::Tensor x, weight, bias, dy;
};

Values draw(const Case& c) {
  torch::manual_seed(3);
  const auto of = [&](at::IntArrayRef sizes) { return torch::randn(sizes).to(kDevice); };
  return {of({2, c.tokens, c.K}), of({c.N, c.K}) * 0.1, of({c.N}), of({2, c.tokens, c.N})};
}

/// y, and the gradients of x, weight and bias. Values are rounded to `narrow` first, so that all see the same.
std::vector<torch::Tensor> run(const Values& values, Gelu gelu, torch::ScalarType narrow, torch::ScalarType type,
                               bool fused) {
  const auto leaf = [&](const torch::Tensor& x) { return x.to(narrow).to(type).detach().clone().requires_grad_(); };
  const auto x = leaf(values.x), w = leaf(values.weight), b = leaf(values.bias);
  const auto y = fused ? fused_linear(x, w, b, gelu, type) : linear(x, w, b, gelu);
  torch::autograd::backward({y}, {values.dy.to(narrow).to(type)});
  std::vector<torch::Tensor> results{y.detach(), x.grad(), w.grad(), b.grad()};
  for (auto& result : results) result = result.to(torch::kFloat64);
  return results;
}

TEST_P(FusedLinear, IsAsExactAsLibTorchInTheSameType) {
  const auto& c = GetParam();
  const Values values = draw(c);
  const auto exact = run(values, c.gelu, c.dtype, torch::kFloat64, false);
  const auto eager = run(values, c.gelu, c.dtype, c.dtype, false);
  const auto fused = run(values, c.gelu, c.dtype, c.dtype, true);
  const char* names[] = {"y", "dx", "dweight", "dbias"};
  for (std::size_t n = 0; n < exact.size(); ++n) {
    const auto error = [&](const torch::Tensor& x) {
      return (x - exact[n]).norm().item<double>() / exact[n].norm().item<double>();
    };
    EXPECT_GT(error(eager[n]), 0) << names[n];
    EXPECT_LE(error(fused[n]), 2 * error(eager[n])) << names[n];
  }
}

TEST_P(FusedLinear, LeavesOutGradientsThatNobodyWants) {
  const auto& c = GetParam();
  const Values values = draw(c);
  const auto x = values.x.to(c.dtype), w = values.weight.to(c.dtype);
  const auto b = values.bias.detach().clone().requires_grad_();
  fused_linear(x, w, b, c.gelu, c.dtype).backward(values.dy.to(c.dtype));
  EXPECT_FALSE(x.grad().defined());
  const auto all = run(values, c.gelu, c.dtype, c.dtype, true);
  EXPECT_LE((b.grad() - all[3]).norm().item<double>(), 0.02 * all[3].norm().item<double>());  // of a bias not rounded
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  const char* gelus[] = {"none", "erf", "tanh"};
  return str(gelus[static_cast<int>(c.gelu)], "_T", c.tokens, "_N", c.N, c.dtype == torch::kHalf ? "_fp16" : "_bf16",
             "_", info.index);
}

// Fewer tokens than a part has warps, tokens that no number of warps divides; less and more than a CTA's 256 columns.
INSTANTIATE_TEST_SUITE_P(
    Small, FusedLinear,
    testing::Values(Case{53, 24, 200, Gelu::kErf, torch::kBFloat16}, Case{53, 24, 200, Gelu::kTanh, torch::kHalf},
                    Case{3, 16, 8, Gelu::kNone, torch::kHalf}, Case{70, 32, 384, Gelu::kNone, torch::kBFloat16},
                    Case{130, 32, 520, Gelu::kTanh, torch::kBFloat16}, Case{65, 40, 264, Gelu::kErf, torch::kHalf}),
    name_of);

/// Where GELU's two factors cancel, and far out, where it is x or 0.
TEST(GeluKernel, IsExactOverTheWholeRange) {
  if (kDevice.is_cuda()) {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    const std::string obstacle = linear_obstacle(kDevice, torch::kHalf, 8);
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }
  const auto x = torch::linspace(-12, 12, 8 * 1000).view({1000, 8}).to(kDevice, torch::kHalf);
  const auto one = torch::eye(8, x.options()), zero = torch::zeros({8}, x.options());
  for (const Gelu gelu : {Gelu::kErf, Gelu::kTanh}) {
    const auto leaf = x.detach().clone().requires_grad_(), exact = x.to(torch::kFloat64).detach().requires_grad_();
    const auto y = fused_linear(leaf, one, zero, gelu, torch::kHalf);
    const auto expected = torch::gelu(exact, gelu == Gelu::kErf ? "none" : "tanh");
    y.backward(torch::ones_like(y));
    expected.backward(torch::ones_like(expected));
    const auto largest = [](const torch::Tensor& a, const torch::Tensor& b) {
      return ((a - b).abs() / (b.abs() + 0.01)).max().item<double>();
    };
    EXPECT_LE(largest(y, expected.to(kDevice)), 1e-3);  // float16 rounds to 5e-4
    EXPECT_LE(largest(leaf.grad(), exact.grad()), 1e-3);
  }
}

}  // namespace
}  // namespace axlstm::ops
