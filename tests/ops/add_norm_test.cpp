// The fused sum and layer norm against LibTorch's operators in float64; held to twice the error of those operators in
// the same type. Compiled twice: into cuda_test for the GPU, and, with AXLSTM_EMULATED, into kernels_test, where the
// emulator runs the kernels on the CPU.
#include "axlstm/ops/add_norm.h"

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
  std::int64_t D;
  bool delta, reversed;
  torch::ScalarType dtype;
};

class FusedAddNorm : public testing::TestWithParam<Case> {};

/// sum, normed, and the gradients of x, weight, bias and, if there is one, delta.
std::vector<torch::Tensor> run(const ResidualStream& values, const torch::Tensor& weight, const torch::Tensor& bias,
                               const std::vector<torch::Tensor>& gradients, torch::ScalarType type, bool fused) {
  const auto leaf = [](const torch::Tensor& x, torch::ScalarType as) {
    return x.to(as).detach().clone().requires_grad_();
  };
  const auto wide = fused ? torch::kFloat32 : type;
  ResidualStream in{leaf(values.x, wide), {}, values.reversed};
  if (values.delta.defined()) in.delta = leaf(values.delta, type);
  const auto w = leaf(weight, wide), b = leaf(bias, wide);
  const auto out = fused ? fused_add_norm(in, w, b, 1e-6, type) : add_norm(in, w, b, 1e-6);
  torch::autograd::backward({out.sum, out.normed},
                            {gradients[0].to(out.sum.scalar_type()), gradients[1].to(out.normed.scalar_type())});
  std::vector<torch::Tensor> results{out.sum.detach(), out.normed.detach(), in.x.grad(), w.grad(), b.grad()};
  if (in.delta.defined()) results.push_back(in.delta.grad());
  for (auto& result : results) result = result.to(torch::kFloat64);
  return results;
}

TEST_P(FusedAddNorm, IsAsExactAsLibTorchInTheSameType) {
  const auto& c = GetParam();
  if (kDevice.is_cuda()) {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    const std::string obstacle = add_norm_obstacle(kDevice, c.dtype, c.D);
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }
  torch::manual_seed(2);
  const auto draw = [&](at::IntArrayRef sizes) { return torch::randn(sizes).to(kDevice); };
  ResidualStream stream{draw({2, 37, c.D}), {}, c.reversed};
  if (c.delta) stream.delta = draw({2, 37, c.D}).to(c.dtype);
  const auto weight = draw({c.D}) * 0.2 + 1, bias = draw({c.D});
  const std::vector<torch::Tensor> gradients{draw({2, 37, c.D}), draw({2, 37, c.D}).to(c.dtype)};
  const auto exact = run(stream, weight, bias, gradients, torch::kFloat64, false);
  const auto eager = run(stream, weight, bias, gradients, c.dtype, false);
  const auto fused = run(stream, weight, bias, gradients, c.dtype, true);
  ASSERT_EQ(fused.size(), exact.size());
  const char* names[] = {"sum", "normed", "dx", "dweight", "dbias", "ddelta"};
  for (std::size_t n = 0; n < exact.size(); ++n) {
    const auto error = [&](const torch::Tensor& x) {
      return (x - exact[n]).norm().item<double>() / exact[n].norm().item<double>();
    };
    EXPECT_GT(error(eager[n]), 0) << names[n];
    EXPECT_LE(error(fused[n]), 2 * error(eager[n])) << names[n];
  }
}

// A lane has 4, 8, 12 or 20 pairs of channels.
INSTANTIATE_TEST_SUITE_P(
    Small, FusedAddNorm,
    testing::Values(Case{192, true, false, torch::kBFloat16}, Case{50, true, true, torch::kFloat16},
                    Case{256, false, false, torch::kBFloat16}, Case{258, true, false, torch::kFloat16},
                    Case{768, true, false, torch::kBFloat16}, Case{1024, true, true, torch::kFloat16}));

}  // namespace
}  // namespace axlstm::ops
