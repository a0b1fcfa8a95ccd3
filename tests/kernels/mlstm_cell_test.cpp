// The cell's kernels, run on the CPU by the emulator, against float64; held to twice the error of LibTorch's operators
// in the same type.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "../src/ops/mlstm_backends.h"
#include "axlstm/core/error.h"
#include "support/golden.h"

namespace axlstm::ops {
namespace {

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

/// h and five gradients, by the kernels or by LibTorch's operators.
std::vector<torch::Tensor> run(const Case& c, const std::vector<torch::Tensor>& inputs, const torch::Tensor& grad_h,
                               bool kernels, torch::ScalarType dtype, torch::ScalarType gate_dtype) {
  std::vector<torch::Tensor> leaves;
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    leaves.push_back(inputs[n].to(n < 3 ? dtype : gate_dtype).detach().requires_grad_());
  }
  const MlstmOptions options{.input_gate = c.gate, .backend = Backend::kReference};
  const auto h = kernels ? mlstm_cell_kernel(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], options)
                         : mlstm(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], options);
  h.backward(grad_h.to(h.dtype()));
  std::vector<torch::Tensor> results{h.detach()};
  for (const auto& leaf : leaves) results.push_back(leaf.grad());
  for (auto& result : results) result = result.to(torch::kFloat64);
  return results;
}

class MlstmKernels : public testing::TestWithParam<Case> {};

TEST_P(MlstmKernels, AreAsExactAsLibTorchInTheSameType) {
  const auto& c = GetParam();
  torch::manual_seed(static_cast<std::uint64_t>(c.S * 1000 + c.DH));
  std::vector<torch::Tensor> inputs;
  // Views of one tensor, so that strides count.
  for (const auto& x : torch::randn({c.B, c.S, 3, c.NH, c.DH}).to(c.dtype).unbind(2)) inputs.push_back(x);
  inputs.push_back(torch::randn({c.B, c.S, c.NH}) * c.gate_scale);
  inputs.push_back(torch::randn({c.B, c.S, c.NH}) * c.gate_scale + 4);
  const auto grad_h = torch::randn({c.B, c.S, c.NH, c.DH}).to(c.dtype);

  const auto exact = run(c, inputs, grad_h, false, torch::kFloat64, torch::kFloat64);
  const auto eager = run(c, inputs, grad_h, false, c.dtype, torch::kFloat32);
  const auto kernel = run(c, inputs, grad_h, true, c.dtype, torch::kFloat32);
  // Below this the error is that of storing the result, or, in float32, of a few additions.
  const double rounding = c.dtype == torch::kFloat32 ? 2e-6 : c.dtype == torch::kFloat16 ? 1e-3 : 8e-3;
  const char* names[] = {"h", "dq", "dk", "dv", "di", "df"};
  for (std::size_t n = 0; n < exact.size(); ++n) {
    // One token's forget gate has no effect: a gate's gradient is measured on the scale of both gates'.
    const double scale = n < 4 ? exact[n].abs().max().item<double>()
                               : std::max(exact[4].abs().max().item<double>(), exact[5].abs().max().item<double>());
    const double allowed = std::max(2 * test::absolute_error(eager[n], exact[n]) / scale, rounding);
    EXPECT_LE(test::absolute_error(kernel[n], exact[n]) / scale, allowed) << names[n];
  }
}

constexpr auto kExponential = InputGate::kExponential;
constexpr auto kSigmoid = InputGate::kSigmoid;

INSTANTIATE_TEST_SUITE_P(
    Shapes, MlstmKernels,
    testing::Values(
        Case{1, 1, 2, 16, 1, kExponential, torch::kFloat32}, Case{1, 70, 1, 48, 20, kExponential, torch::kFloat32},
        Case{1, 1, 2, 16, 1, kExponential, torch::kBFloat16}, Case{1, 63, 1, 16, 1, kExponential, torch::kBFloat16},
        Case{1, 64, 1, 96, 1, kSigmoid, torch::kBFloat16}, Case{2, 65, 2, 48, 20, kExponential, torch::kBFloat16},
        Case{1, 251, 1, 144, 1, kExponential, torch::kBFloat16}, Case{1, 130, 1, 192, 1, kExponential, torch::kFloat16},
        Case{1, 70, 1, 288, 20, kExponential, torch::kBFloat16},
        Case{1, 69, 1, 288, 20, kExponential, torch::kBFloat16},
        Case{1, 300, 1, 208, 1, kExponential, torch::kBFloat16}, Case{1, 301, 1, 208, 1, kSigmoid, torch::kBFloat16},
        Case{1, 601, 1, 48, 20, kExponential, torch::kBFloat16}, Case{1, 131, 1, 192, 1, kExponential, torch::kFloat16},
        Case{1, 66, 1, 768, 1, kExponential, torch::kFloat16}),
    name_of);

}  // namespace
}  // namespace axlstm::ops
