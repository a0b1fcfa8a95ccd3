// The cell's kernels against float64, held to twice the error of the same formula through LibTorch's operators in the
// same type. Compiled three times: into cuda_test for the GPU, with AXLSTM_EMULATED into kernels_test, where the
// emulator runs the CUDA kernels, and with AXLSTM_ON_CPU into cpu_test for what computes the cell on the CPU.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "../src/ops/mlstm_backends.h"
#include "axlstm/core/error.h"
#include "axlstm/ops/mlstm_block.h"
#include "support/expect_error.h"

namespace axlstm::ops {
namespace {

#if defined(AXLSTM_EMULATED)
const torch::Device kDevice = torch::kCPU;
const auto kCell = mlstm_cell_kernel;
constexpr std::size_t kDraws = 1;
#elif defined(AXLSTM_ON_CPU)
const torch::Device kDevice = torch::kCPU;
const auto kCell = mlstm_cell_cpu;
constexpr std::size_t kDraws = 5;
#else
const torch::Device kDevice = torch::kCUDA;
const auto kCell = mlstm_cell_kernel;
constexpr std::size_t kDraws = 1;
#endif

struct Case {
  std::int64_t B, S, NH, DH;
  double gate_scale;
  InputGate gate;
  torch::ScalarType dtype;
  Isa isa = Isa::kPortable;
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& c = info.param;
  return str("S", c.S, "_DH", c.DH, c.gate_scale > 5 ? "_extreme" : "", c.gate == InputGate::kSigmoid ? "_sigmoid" : "",
             "_", c10::toString(c.dtype), c.isa == Isa::kHopper ? "_hopper" : "");
}

/// Below this the error is that of storing the result, or, in float32, of a few additions.
double rounding(torch::ScalarType dtype) {
  return dtype == torch::kFloat32 ? 2e-6 : dtype == torch::kFloat16 ? 1e-3 : 8e-3;
}

class CellKernel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (kDevice.is_cpu()) return;
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    const std::string obstacle = cell_kernel_obstacle(kDevice, torch::kFloat32, 16);
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
    try {
      resolve_isa(GetParam().isa, kDevice, GetParam().dtype, GetParam().S);
    } catch (const UsageError& failure) {
      GTEST_SKIP() << failure.what();
    }
  }

  /// q, k, v as views of one tensor, so that strides count, i and f; then the gradient of h.
  static std::vector<torch::Tensor> draw(const Case& c, std::size_t number = 0) {
    torch::manual_seed(static_cast<std::uint64_t>(c.S * 1000 + c.DH) + number);
    const auto normal = [](at::IntArrayRef sizes) { return torch::randn(sizes).to(kDevice); };
    auto inputs = normal({c.B, c.S, 3, c.NH, c.DH}).to(c.dtype).unbind(2);
    inputs.push_back(normal({c.B, c.S, c.NH}) * c.gate_scale);
    inputs.push_back(normal({c.B, c.S, c.NH}) * c.gate_scale + 4);
    inputs.push_back(normal({c.B, c.S, c.NH, c.DH}).to(c.dtype));
    return inputs;
  }

  /// h and five gradients in float64, by the kernels or by LibTorch's operators.
  static std::vector<torch::Tensor> run(const Case& c, const std::vector<torch::Tensor>& inputs, bool kernels,
                                        torch::ScalarType dtype, torch::ScalarType gate_dtype) {
    std::vector<torch::Tensor> leaves;
    for (std::size_t n = 0; n < 5; ++n) {
      leaves.push_back(inputs[n].to(n < 3 ? dtype : gate_dtype).detach().requires_grad_());
    }
    const MlstmOptions options{.input_gate = c.gate, .backend = Backend::kReference, .isa = c.isa};
    const auto h = kernels ? kCell(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], options)
                           : mlstm(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], options);
    h.backward(inputs[5].to(h.dtype()));
    std::vector<torch::Tensor> results{h.detach()};
    for (const auto& leaf : leaves) results.push_back(leaf.grad());
    for (auto& result : results) result = result.to(torch::kFloat64);
    return results;
  }
};

/// The median draw counts, where there are several: one token whose normaliser happens to be all but 0 rules the error.
TEST_P(CellKernel, IsAsExactAsLibTorchInTheSameType) {
  const auto& c = GetParam();
  std::map<std::string, std::vector<double>> shares;  // of the allowed error
  for (std::size_t number = 0; number < kDraws; ++number) {
    const auto inputs = draw(c, number);
    const auto exact = run(c, inputs, false, torch::kFloat64, torch::kFloat64);
    const auto eager = run(c, inputs, false, c.dtype, torch::kFloat32);
    const auto kernel = run(c, inputs, true, c.dtype, torch::kFloat32);
    const char* names[] = {"h", "dq", "dk", "dv", "di", "df"};
    for (std::size_t n = 0; n < exact.size(); ++n) {
      // By root mean square, and, so that one wrong token shows, by maximum, which is little more than a draw.
      for (const bool by_maximum : {false, true}) {
        const auto size = [&](const torch::Tensor& x) {
          return by_maximum ? x.abs().max().item<double>() : x.norm().item<double>();
        };
        // One token's forget gate has no effect: a gate's gradient is measured on the scale of both gates'.
        const double scale = n < 4 ? size(exact[n]) : std::max(size(exact[4]), size(exact[5]));
        const double factor = by_maximum ? 4 : 2;
        const double allowed = std::max(factor * size(eager[n] - exact[n]) / scale, rounding(c.dtype));
        const double share = size(kernel[n] - exact[n]) / scale / allowed;
        shares[str(names[n], by_maximum ? ", maximum" : "")].push_back(std::isfinite(share) ? share : INFINITY);
      }
    }
  }
  for (auto& [name, of_draws] : shares) {
    std::sort(of_draws.begin(), of_draws.end());
    EXPECT_LE(of_draws[kDraws / 2], 1.0) << name;
  }
}

#ifndef AXLSTM_EMULATED
TEST_P(CellKernel, StridedViewsGiveTheBitsOfCopiesAndTwiceTheSame) {
  const auto& c = GetParam();
  auto inputs = draw(c);
  const auto once = run(c, inputs, true, c.dtype, torch::kFloat32);
  for (auto& input : inputs) input = input.contiguous();
  const auto twice = run(c, inputs, true, c.dtype, torch::kFloat32);
  for (std::size_t n = 0; n < once.size(); ++n) EXPECT_TRUE(once[n].equal(twice[n])) << n;
}
#endif

constexpr auto kExponential = InputGate::kExponential;
constexpr auto kSigmoid = InputGate::kSigmoid;

/// The narrow ones with the instructions of Hopper too; on the CPU all of them in float32.
std::vector<Case> with_all_instructions(std::vector<Case> cases) {
#ifdef AXLSTM_ON_CPU
  std::erase_if(cases, [](const Case& c) { return c.B * c.NH * c.S * c.S > 5'000'000; });  // seconds in float64
  for (Case& c : cases) c.dtype = torch::kFloat32;
  const auto same = [](const Case& a, const Case& b) { return std::tie(a.S, a.DH) == std::tie(b.S, b.DH); };
  std::sort(cases.begin(), cases.end(),
            [](const Case& a, const Case& b) { return std::tie(a.S, a.DH) < std::tie(b.S, b.DH); });
  cases.erase(std::unique(cases.begin(), cases.end(), same), cases.end());
#endif
  const std::size_t count = cases.size();
  for (std::size_t n = 0; n < count; ++n) {
    if (cases[n].dtype == torch::kFloat32) continue;
    cases.push_back(cases[n]);
    cases.back().isa = Isa::kHopper;
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Small, CellKernel,
                         testing::ValuesIn(with_all_instructions({{1, 1, 2, 16, 1, kExponential, torch::kFloat32},
                                                                  {1, 70, 1, 48, 20, kExponential, torch::kFloat32},
                                                                  {1, 33, 1, 96, 1, kSigmoid, torch::kFloat32},
                                                                  {1, 66, 1, 208, 1, kExponential, torch::kFloat32},
                                                                  {1, 1, 2, 16, 1, kExponential, torch::kBFloat16},
                                                                  {1, 63, 1, 16, 1, kExponential, torch::kBFloat16},
                                                                  {1, 64, 1, 96, 1, kSigmoid, torch::kBFloat16},
                                                                  {2, 65, 2, 48, 20, kExponential, torch::kBFloat16},
                                                                  {1, 251, 1, 144, 1, kExponential, torch::kBFloat16},
                                                                  {1, 130, 1, 192, 1, kExponential, torch::kFloat16},
                                                                  {1, 70, 1, 288, 20, kExponential, torch::kBFloat16},
                                                                  {1, 300, 1, 208, 1, kExponential, torch::kBFloat16},
                                                                  {1, 301, 1, 208, 1, kSigmoid, torch::kBFloat16},
                                                                  {2, 601, 2, 48, 20, kExponential, torch::kBFloat16},
                                                                  {2, 512, 2, 32, 1, kSigmoid, torch::kFloat16},
                                                                  {1, 66, 1, 768, 1, kExponential, torch::kFloat16}})),
                         name_of);
#ifndef AXLSTM_EMULATED
INSTANTIATE_TEST_SUITE_P(Large, CellKernel,
                         testing::ValuesIn(with_all_instructions({{2, 251, 4, 144, 1, kExponential, torch::kFloat32},
                                                                  {1, 300, 2, 768, 1, kExponential, torch::kFloat32},
                                                                  {2, 251, 4, 96, 1, kExponential, torch::kBFloat16},
                                                                  {2, 251, 4, 192, 20, kExponential, torch::kBFloat16},
                                                                  {2, 126, 4, 288, 1, kExponential, torch::kBFloat16},
                                                                  {1, 501, 4, 576, 1, kSigmoid, torch::kBFloat16},
                                                                  {2, 251, 4, 144, 1, kExponential, torch::kFloat16},
                                                                  {100, 251, 4, 144, 1, kExponential, torch::kBFloat16},
                                                                  {1, 1024, 2, 384, 1, kExponential, torch::kFloat16},
                                                                  {1, 1025, 2, 144, 20, kExponential, torch::kBFloat16},
                                                                  {1, 4096, 2, 144, 1, kExponential,
                                                                   torch::kBFloat16}})),
                         name_of);
#endif

#if !defined(AXLSTM_EMULATED) && !defined(AXLSTM_ON_CPU)
class CellKernelInputs : public CellKernel {};

TEST_P(CellKernelInputs, OtherHeadDimsAreRefusedWithTheReason) {
  const auto q = torch::randn({1, 5, 2, 20}, kDevice), gate = torch::randn({1, 5, 2}, kDevice);
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
#endif

TEST(CellKernelOnTheCpu, IsRefusedInNarrowTypesWithTheReason) {
  const auto q = torch::randn({1, 5, 2, 16}).to(torch::kBFloat16), gate = torch::randn({1, 5, 2});
  test::expect_error([&] { mlstm(q, q, q, gate, gate, {.backend = Backend::kCell}); },
                     {"'cell' cannot be used", "BFloat16 is not float32"});
}

#ifndef AXLSTM_EMULATED
TEST(Isa, InstructionsThatCannotRunAreRefusedWithTheKey) {
  EXPECT_EQ(resolve_isa(Isa::kAuto, torch::kCPU, torch::kFloat32, 251), Isa::kPortable);
  EXPECT_EQ(resolve_isa(Isa::kPortable, torch::kCPU, torch::kBFloat16, 251), Isa::kPortable);
  try {
    resolve_isa(Isa::kHopper, torch::kCPU, torch::kFloat32, 251);
    FAIL() << "no error";
  } catch (const UsageError& failure) {
    const std::string message = failure.what();
    for (const char* part : {"kernel.isa hopper cannot be used: ", "set kernel.isa=auto"}) {
      EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
}
#endif

}  // namespace
}  // namespace axlstm::ops
