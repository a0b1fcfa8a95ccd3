// The selective scan and the mixer by own code against float64, held to twice the error of the same formula through
// LibTorch's operators in the same type. Compiled three times: into cuda_test for the GPU, with AXLSTM_EMULATED into
// kernels_test, where the emulator runs the CUDA kernels, and with AXLSTM_ON_CPU into cpu_test for the CPU's code.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "../src/ops/scan_backends.h"
#include "axlstm/core/error.h"

namespace axlstm::ops {
namespace {

#if defined(AXLSTM_EMULATED)
const torch::Device kDevice = torch::kCPU;
const auto kScan = scan_cuda;
const auto kMixer = mamba_mixer_cuda;
#elif defined(AXLSTM_ON_CPU)
const torch::Device kDevice = torch::kCPU;
const auto kScan = scan_cpu;
const auto kMixer = mamba_mixer_cpu;
#else
const torch::Device kDevice = torch::kCUDA;
const auto kScan = scan_cuda;
const auto kMixer = mamba_mixer_cuda;
#endif

struct Case {
  std::int64_t B = 0, S = 0, I = 0, N = 0;
  torch::ScalarType dtype = torch::kFloat32;
  double step_scale = 1;  ///< of Δ before the softplus
};

/// On the CPU all of them in float32.
std::vector<Case> cases(std::vector<Case> all) {
#ifdef AXLSTM_ON_CPU
  for (Case& c : all) c.dtype = torch::kFloat32;
#endif
  return all;
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& c = info.param;
  return str("B", c.B, "_S", c.S, "_I", c.I, "_N", c.N, c.step_scale > 5 ? "_extreme_" : "_", c10::toString(c.dtype));
}

/// Below this the error is that of storing the result, or, in float32, of a few additions.
double rounding(torch::ScalarType dtype) {
  return dtype == torch::kFloat32 ? 2e-6 : dtype == torch::kFloat16 ? 5e-4 : 4e-3;
}

/// What a test draws, computes, and compares: results first, then the gradients of all inputs.
using Tensors = std::vector<torch::Tensor>;

void expect_as_exact(const Tensors& exact, const Tensors& eager, const Tensors& own, const Tensors& names_of,
                     torch::ScalarType dtype) {
  ASSERT_EQ(own.size(), names_of.size() + 1);
  for (std::size_t n = 0; n < exact.size(); ++n) {
    const double scale = std::max(exact[n].norm().item<double>(), 1e-30);  // a single token's A has no effect
    const double allowed = std::max(2 * (eager[n] - exact[n]).norm().item<double>() / scale, rounding(dtype));
    const double error = (own[n] - exact[n]).norm().item<double>() / scale;
    EXPECT_TRUE(error <= allowed) << (n == 0 ? "output" : str("gradient of input ", n - 1)) << ": " << error << " of "
                                  << allowed;
  }
}

class ScanKernel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (kDevice.is_cpu()) return;
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    const std::string obstacle = scan_kernel_obstacle(kDevice, GetParam().dtype, GetParam().I, GetParam().N);
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }

  using Run = std::function<torch::Tensor(const Tensors&)>;

  /// Output and gradients in float64, of inputs that are what their types hold.
  static Tensors run(const Run& function, const Tensors& inputs, const torch::Tensor& gradient,
                     std::optional<torch::ScalarType> dtype = {}) {
    Tensors leaves;
    for (const auto& input : inputs) {
      leaves.push_back(input.to(dtype.value_or(input.scalar_type())).detach().requires_grad_());
    }
    const auto y = function(leaves);
    y.backward(gradient.to(y.scalar_type()));
    Tensors results{y.detach().to(torch::kFloat64)};
    for (const auto& leaf : leaves) results.push_back(leaf.grad().to(torch::kFloat64));
    return results;
  }

  torch::Tensor normal(at::IntArrayRef sizes) const { return torch::randn(sizes).to(kDevice); }
  torch::Tensor tokens(std::int64_t width, double scale = 1, double shift = 0) const {
    const Case& c = GetParam();
    return (normal({c.B, c.S, width}) * scale + shift).to(c.dtype);
  }
  torch::Tensor rates() const {  // ln of −A
    const Case& c = GetParam();
    return torch::rand({c.I, c.N}).to(kDevice) * std::log(static_cast<double>(c.N) + 1);
  }
};

TEST_P(ScanKernel, IsAsExactAsLibTorchInTheSameType) {
  const Case& c = GetParam();
  torch::manual_seed(static_cast<std::uint64_t>(c.S * 1000 + c.I + c.N));
  const Tensors inputs{tokens(c.I),    tokens(c.I, c.step_scale, -2),
                       -rates().exp(), tokens(c.N),
                       tokens(c.N),    normal({c.I}),
                       tokens(c.I),    normal({c.I}) - 2};
  const auto gradient = tokens(c.I);
  const auto inputs_of = [](const Tensors& x) { return ScanInputs{x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]}; };
  const Run reference = [&](const Tensors& x) { return selective_scan(inputs_of(x), Backend::kReference); };
  const Run kernel = [&](const Tensors& x) { return kScan(inputs_of(x)); };
  const auto own = run(kernel, inputs, gradient);
  expect_as_exact(run(reference, inputs, gradient, torch::kFloat64), run(reference, inputs, gradient), own, inputs,
                  c.dtype);
  const auto again = run(kernel, inputs, gradient);
  for (std::size_t n = 0; n < own.size(); ++n) EXPECT_TRUE(own[n].equal(again[n])) << n;
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(kScan(inputs_of(inputs)).to(torch::kFloat64).equal(own[0]));
}

TEST_P(ScanKernel, AWholeMixerIsAsExact) {
  const Case& c = GetParam();
  torch::manual_seed(static_cast<std::uint64_t>(c.S * 1000 + c.I + c.N));
  const std::int64_t R = c.I / 48 + 1;
  const auto root = [](std::int64_t size) { return 1 / std::sqrt(static_cast<double>(size)); };
  const Tensors inputs{tokens(2 * c.I),
                       normal({c.I, 1, 4}) * 0.5,
                       normal({c.I}) * 0.5,
                       normal({R + 2 * c.N, c.I}) * root(c.I),
                       normal({c.I, R}) * root(R) * c.step_scale,
                       normal({c.I}) - 2,
                       rates(),
                       normal({c.I})};
  const auto gradient = tokens(c.I);
  const auto weights = [&](const Tensors& x) { return MixerWeights{x[1], x[2], x[3], x[4], x[5], x[6], x[7]}; };
  const Run kernel = [&](const Tensors& x) { return kMixer(x[0], weights(x)); };
  // As under autocast: what operators multiply by is of the tokens' type, Δ's bias, A and D are not.
  const Run reference = [&](const Tensors& x) {
    auto narrow = weights(x);
    for (auto* weight : {&narrow.conv_weight, &narrow.conv_bias, &narrow.x_proj, &narrow.dt_proj_weight}) {
      *weight = weight->to(x[0].scalar_type());
    }
    return mamba_mixer(x[0], narrow, Backend::kReference);
  };
  const auto own = run(kernel, inputs, gradient);
  expect_as_exact(run(reference, inputs, gradient, torch::kFloat64), run(reference, inputs, gradient), own, inputs,
                  c.dtype);
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(kernel(inputs).to(torch::kFloat64).equal(own[0]));
}

constexpr auto kHalf = torch::kFloat16, kBrain = torch::kBFloat16;

INSTANTIATE_TEST_SUITE_P(Small, ScanKernel,
                         testing::ValuesIn(cases({{4, 1, 48, 3, kBrain},
                                                  {2, 15, 48, 5},
                                                  {1, 16, 208, 24, kBrain},
                                                  {2, 17, 32, 33, kHalf},
                                                  {1, 37, 112, 24},
                                                  {1, 70, 32, 16, kBrain},
                                                  {1, 131, 16, 24, kHalf},
                                                  {1, 20, 32, 64},
                                                  {2, 67, 32, 24, kBrain, 20},
                                                  {1, 18, 64, 26, kBrain}})),
                         name_of);

#ifndef AXLSTM_EMULATED
INSTANTIATE_TEST_SUITE_P(Large, ScanKernel,
                         testing::ValuesIn(cases({{5, 251, 576, 24, kBrain},
                                                  {5, 250, 576, 24, kHalf},
                                                  {3, 251, 288, 24},
                                                  {2, 1000, 192, 16, kBrain}})),
                         name_of);
#endif

}  // namespace
}  // namespace axlstm::ops
