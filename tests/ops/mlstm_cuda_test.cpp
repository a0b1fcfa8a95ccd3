// The CUDA cell kernels against float64, held to twice the error of the same formula through LibTorch in the same
// dtype.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/mlstm.h"
#include "support/golden.h"

namespace axlstm::ops {
namespace {

/// Below this the error is that of storing the result.
double rounding(torch::ScalarType dtype) {
  return dtype == torch::kFloat32 ? 1e-6 : dtype == torch::kFloat16 ? 1e-3 : 8e-3;
}

struct Case {
  std::int64_t B, S, NH, DH;
  double gate_scale;
  InputGate gate;
  torch::ScalarType dtype;
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& c = info.param;
  return str("S", c.S, "_DH", c.DH, c.gate_scale > 5 ? "_extreme" : "", c.gate == InputGate::kSigmoid ? "_sigmoid" : "",
             "_", c10::toString(c.dtype));
}

class CellKernel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    const std::string obstacle = cell_kernel_obstacle(torch::kCUDA, torch::kFloat32, 16);
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }

  /// h and five gradients, in float64 on the CPU.
  static std::vector<torch::Tensor> run(const std::vector<torch::Tensor>& inputs, const torch::Tensor& grad_h,
                                        const MlstmOptions& options, torch::ScalarType dtype,
                                        torch::ScalarType gate_dtype) {
    std::vector<torch::Tensor> leaves;
    for (std::size_t n = 0; n < inputs.size(); ++n) {
      leaves.push_back(inputs[n].to(n < 3 ? dtype : gate_dtype).detach().clone().requires_grad_());
    }
    const auto h = mlstm(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], options);
    (h * grad_h.to(h.dtype())).sum().backward();
    std::vector<torch::Tensor> results{h.detach()};
    for (const auto& leaf : leaves) results.push_back(leaf.grad());
    for (auto& result : results) result = result.to(torch::kFloat64).cpu();
    return results;
  }

  static std::vector<torch::Tensor> draw(const Case& c) {
    torch::manual_seed(static_cast<std::uint64_t>(c.S * 1000 + c.DH));
    const auto normal = [](at::IntArrayRef sizes) {
      return torch::randn(sizes, torch::dtype(torch::kFloat64).device(torch::kCUDA));
    };
    const auto rounded = [&](const torch::Tensor& x) { return x.to(c.dtype).to(torch::kFloat64); };
    return {rounded(normal({c.B, c.S, c.NH, c.DH})), rounded(normal({c.B, c.S, c.NH, c.DH})),
            rounded(normal({c.B, c.S, c.NH, c.DH})),
            (normal({c.B, c.S, c.NH}) * c.gate_scale).to(torch::kFloat32).to(torch::kFloat64),
            (normal({c.B, c.S, c.NH}) * c.gate_scale + 4).to(torch::kFloat32).to(torch::kFloat64)};
  }
};

TEST_P(CellKernel, IsAsExactAsLibTorchInTheSameDtype) {
  const auto& c = GetParam();
  const auto inputs = draw(c);
  const auto grad_h = torch::randn_like(inputs[0]).to(c.dtype).to(torch::kFloat64);
  const auto exact =
      run(inputs, grad_h, {.input_gate = c.gate, .backend = Backend::kReference}, torch::kFloat64, torch::kFloat64);
  const auto eager =
      run(inputs, grad_h, {.input_gate = c.gate, .backend = Backend::kReference}, c.dtype, torch::kFloat32);
  const auto kernel = run(inputs, grad_h, {.input_gate = c.gate, .backend = Backend::kCell}, c.dtype, torch::kFloat32);
  const char* names[] = {"h", "dq", "dk", "dv", "di", "df"};
  for (std::size_t n = 0; n < exact.size(); ++n) {
    // One token's forget gate has no effect: a gate's gradient is measured on the scale of both gates'.
    const double scale = n < 4 ? exact[n].abs().max().item<double>()
                               : std::max(exact[4].abs().max().item<double>(), exact[5].abs().max().item<double>());
    const double allowed = std::max(2 * test::absolute_error(eager[n], exact[n]) / scale, rounding(c.dtype));
    EXPECT_LE(test::absolute_error(kernel[n], exact[n]) / scale, allowed) << names[n];
  }
}

TEST_P(CellKernel, IsDeterministic) {
  const auto& c = GetParam();
  const auto inputs = draw(c);
  const auto grad_h = torch::randn_like(inputs[0]);
  const MlstmOptions options{.input_gate = c.gate, .backend = Backend::kCell};
  const auto once = run(inputs, grad_h, options, c.dtype, torch::kFloat32);
  const auto twice = run(inputs, grad_h, options, c.dtype, torch::kFloat32);
  for (std::size_t n = 0; n < once.size(); ++n) EXPECT_TRUE(once[n].equal(twice[n])) << n;
}

constexpr auto kExponential = InputGate::kExponential;
constexpr auto kSigmoid = InputGate::kSigmoid;

INSTANTIATE_TEST_SUITE_P(Shapes, CellKernel,
                         testing::Values(Case{2, 1, 2, 16, 1, kExponential, torch::kFloat32},
                                         Case{2, 63, 3, 48, 1, kExponential, torch::kFloat32},
                                         Case{2, 65, 2, 96, 20, kExponential, torch::kFloat32},
                                         Case{2, 251, 4, 144, 1, kExponential, torch::kFloat32},
                                         Case{2, 251, 4, 144, 1, kSigmoid, torch::kFloat32},
                                         Case{1, 300, 2, 768, 1, kExponential, torch::kFloat32},
                                         Case{2, 251, 4, 96, 1, kExponential, torch::kBFloat16},
                                         Case{2, 251, 4, 192, 20, kExponential, torch::kBFloat16},
                                         Case{2, 126, 4, 288, 1, kExponential, torch::kBFloat16},
                                         Case{1, 501, 4, 576, 1, kSigmoid, torch::kBFloat16},
                                         Case{2, 251, 4, 144, 1, kExponential, torch::kFloat16},
                                         Case{1, 1024, 2, 384, 1, kExponential, torch::kFloat16}),
                         name_of);

class CellKernelInputs : public CellKernel {};

TEST_P(CellKernelInputs, StridedViewsGiveTheSameAsCopies) {
  const auto& c = GetParam();
  auto wide = torch::randn({c.B, c.S, 3, c.NH, c.DH}, torch::device(torch::kCUDA)).to(c.dtype);
  const auto gates = torch::randn({2, c.B, c.S, c.NH}, torch::device(torch::kCUDA));
  const auto views = wide.unbind(2);
  const auto strided = mlstm(views[0], views[1], views[2], gates[0], gates[1], {.backend = Backend::kCell});
  const auto copied = mlstm(views[0].contiguous(), views[1].contiguous(), views[2].contiguous(), gates[0], gates[1],
                            {.backend = Backend::kCell});
  EXPECT_TRUE(strided.equal(copied));
}

TEST_P(CellKernelInputs, OtherHeadDimsAreRefusedWithTheReason) {
  const auto q = torch::randn({1, 5, 2, 20}, torch::device(torch::kCUDA)),
             gate = torch::randn({1, 5, 2}, torch::device(torch::kCUDA));
  try {
    mlstm(q, q, q, gate, gate, {.backend = Backend::kCell});
    FAIL() << "no error";
  } catch (const Error& failure) {
    EXPECT_NE(std::string(failure.what()).find("head dim 20 is not a multiple of 16"), std::string::npos)
        << failure.what();
  }
}

INSTANTIATE_TEST_SUITE_P(One, CellKernelInputs, testing::Values(Case{2, 70, 2, 32, 1, kExponential, torch::kBFloat16}),
                         name_of);

TEST(CellKernelOnTheCpu, IsRefusedWithTheReason) {
  const auto q = torch::randn({1, 5, 2, 16}), gate = torch::randn({1, 5, 2});
  EXPECT_THROW(mlstm(q, q, q, gate, gate, {.backend = Backend::kCell}), Error);
}

}  // namespace
}  // namespace axlstm::ops
