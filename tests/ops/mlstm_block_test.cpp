// The fused block against the module through LibTorch's operators in float64; held to twice the error of those
// operators in the same type, in the median of some draws. Compiled three times: into cuda_test for the GPU, with
// AXLSTM_EMULATED into kernels_test, where the emulator runs the CUDA kernels, and with AXLSTM_ON_CPU into cpu_test for
// what computes the block on the CPU.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "axlstm/core/error.h"
#include "axlstm/nn/mlstm_block.h"
#include "support/golden.h"

namespace axlstm::nn {
namespace {

#ifdef AXLSTM_EMULATED
const torch::Device kDevice = torch::kCPU;
constexpr std::uint64_t kSeeds = 3;
#elif defined(AXLSTM_ON_CPU)
const torch::Device kDevice = torch::kCPU;
constexpr std::uint64_t kSeeds = 5;
#else
const torch::Device kDevice = torch::kCUDA;
constexpr std::uint64_t kSeeds = 15;
#endif

struct Case {
  std::int64_t B = 0, S = 0, D = 0, E = 0;
  bool delta = false, reverse_delta = false, reverse = false;
  ops::InputGate gate = ops::InputGate::kExponential;
  torch::ScalarType dtype = torch::kFloat32;
  ops::Isa isa = ops::Isa::kAuto;
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
  return str("S", c.S, "_D", c.D, "_E", c.E, c.delta ? "" : "_first", c.reverse_delta ? "_after_reversed" : "",
             c.reverse ? "_reversed" : "", c.gate == ops::InputGate::kSigmoid ? "_sigmoid" : "", "_",
             c10::toString(c.dtype), c.isa == ops::Isa::kHopper ? "_hopper" : "");
}

class FusedBlock : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (kDevice.is_cpu()) return;
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    const std::string obstacle = ops::fused_block_obstacle(kDevice, torch::kBFloat16, 192, 576, kHeads);
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }
};

/// sum, delta, and the gradients of x, delta and every parameter, by name.
std::vector<std::pair<std::string, torch::Tensor>> collect(MlstmBlock& block, const ops::ResidualStream& in,
                                                           const ops::ResidualStream& out,
                                                           const torch::Tensor& grad_sum,
                                                           const torch::Tensor& grad_delta) {
  block->zero_grad();
  torch::autograd::backward({out.x, out.delta},
                            {grad_sum.to(out.x.scalar_type()), grad_delta.to(out.delta.scalar_type())});
  std::vector<std::pair<std::string, torch::Tensor>> results{{"sum", out.x.detach()}, {"delta", out.delta.detach()}};
  results.emplace_back("gradient of x", in.x.grad());
  if (in.delta.defined()) results.emplace_back("gradient of delta", in.delta.grad());
  for (const auto& parameter : block->named_parameters()) {
    results.emplace_back("gradient of " + parameter.key(), parameter.value().grad().clone());
  }
  for (auto& result : results) result.second = result.second.to(torch::kFloat64);
  return results;
}

/// Sums over all tokens that almost cancel: they are measured on the scale of both gates'.
bool is_gate_bias(const std::string& name) { return name.find("gate.bias") != std::string::npos; }

/// Errors of fused and eager relative to what they are measured by.
struct Errors {
  double fused = 0, eager = 0;
};

/// All that collect() has to find.
std::set<std::string> expected_names(const Case& c) {
  std::set<std::string> names{"sum", "delta", "gradient of x"};
  if (c.delta) names.insert("gradient of delta");
  for (const char* parameter :
       {"norm.weight", "layer.proj_up.weight", "layer.conv1d.conv.weight", "layer.conv1d.conv.bias",
        "layer.q_proj.weight", "layer.k_proj.weight", "layer.v_proj.weight", "layer.mlstm_cell.igate.weight",
        "layer.mlstm_cell.igate.bias", "layer.mlstm_cell.fgate.weight", "layer.mlstm_cell.fgate.bias",
        "layer.mlstm_cell.outnorm.weight", "layer.learnable_skip", "layer.proj_down.weight"}) {
    names.insert(std::string("gradient of ") + parameter);
  }
  return names;
}

std::map<std::string, Errors> errors_of(const Case& c, std::uint64_t seed) {
  torch::manual_seed(seed);
  const double eps = c.S % 2 == 0 ? 1e-6 : 0.1;
  MlstmBlock block(MlstmBlockOptions{.dim = c.D,
                                     .expansion = c.E,
                                     .reverse = c.reverse,
                                     .cell = {.input_gate = c.gate, .backend = ops::Backend::kReference, .eps = eps}});
  {  // no gate, norm or skip trivial
    const torch::NoGradGuard no_grad;
    for (auto& parameter : block->named_parameters()) {
      const std::string& name = parameter.key();
      const bool gate = name.find("gate.weight") != std::string::npos;
      if (gate || name.find("norm") != std::string::npos) parameter.value().normal_(0.0, 0.2);
      if (name.find("skip") != std::string::npos) parameter.value().normal_(1.0, 0.2);
      if (name.find("proj.weight") != std::string::npos) parameter.value().normal_(0.0, 0.6);
      if (name.find("proj_") != std::string::npos) parameter.value().copy_(parameter.value().to(c.dtype));
    }
  }
  block->to(kDevice);
  const auto draw = [&](torch::ScalarType type) { return torch::randn({c.B, c.S, c.D}).to(kDevice).to(type); };
  const auto x = draw(torch::kFloat32), delta = draw(c.dtype), grad_sum = draw(torch::kFloat32),
             grad_delta = draw(c.dtype);
  const auto stream = [&](torch::ScalarType type, torch::ScalarType delta_type) {
    ops::ResidualStream in{x.to(type).detach().clone().requires_grad_(), {}, c.reverse_delta};
    if (c.delta) in.delta = delta.to(delta_type).detach().clone().requires_grad_();
    return in;
  };

  const auto fused_in = stream(torch::kFloat32, c.dtype), exact_in = stream(torch::kFloat64, torch::kFloat64),
             eager_in = stream(c.dtype, c.dtype);
  const auto fused =
      collect(block, fused_in,
              ops::fused_mlstm_block(fused_in, block->weights(),
                                     {c.reverse, c.gate, c.dtype, /*recompute=*/c.S % 2 == 0, c.isa, eps}),
              grad_sum, grad_delta);
  block->to(torch::kFloat64);
  const auto exact = collect(block, exact_in, block->forward(exact_in), grad_sum, grad_delta);
  block->to(c.dtype);
  const auto eager = collect(block, eager_in, block->forward(eager_in), grad_sum, grad_delta);

  double bias_scale = 0, weight_scale = 0;
  for (const auto& [name, value] : exact) {
    const double size = value.norm().item<double>();
    if (is_gate_bias(name)) bias_scale = std::max(bias_scale, size);
    if (name.find("gate.weight") != std::string::npos) weight_scale = std::max(weight_scale, size);
  }
  std::map<std::string, Errors> errors;
  for (std::size_t n = 0; n < exact.size(); ++n) {
    const auto& [name, value] = exact[n];
    double scale = is_gate_bias(name) ? bias_scale : value.norm().item<double>();
    if (scale == 0) scale = weight_scale;  // of the only token the forget gate has no effect
    const auto error = [&](const torch::Tensor& x) { return (x - value).norm().item<double>() / scale; };
    errors[name] = {error(fused.at(n).second), error(eager.at(n).second)};
  }
  return errors;
}

/// The median draw counts: where a normaliser happens to be all but 0, errors of every kind are a matter of luck, and
/// so are those of the few numbers of a bias.
TEST_P(FusedBlock, EqualsTheModule) {
  const auto& c = GetParam();
  const double rounding = c.dtype == torch::kFloat32 ? 1e-6 : c.dtype == torch::kBFloat16 ? 8e-3 : 1e-3;
  std::map<std::string, std::vector<double>> shares;  // of the allowed error
  std::map<std::string, std::uint64_t> without_measure;
  for (std::uint64_t seed = 7; seed < 7 + kSeeds; ++seed) {
    for (const auto& [name, error] : errors_of(c, seed)) {
      if (!std::isfinite(error.eager)) {  // LibTorch's operators overflow in this type
        ++without_measure[name];
        continue;
      }
      const double factor = is_gate_bias(name) ? 3 : 2;  // sums over all tokens that almost cancel: docs/kernel.md
      const double share = error.fused / std::max(factor * error.eager, rounding);
      shares[name].push_back(std::isfinite(share) ? share : INFINITY);
    }
  }
  std::set<std::string> names;
  for (const auto& [name, of_draws] : shares) names.insert(name);
  EXPECT_EQ(names, expected_names(c));
  for (const auto& [name, draws] : without_measure) {
    EXPECT_LE(draws, kSeeds / 3) << name << ": draws in which LibTorch's operators overflow say nothing of ours";
  }
  for (auto& [name, of_draws] : shares) {
    std::sort(of_draws.begin(), of_draws.end());
    EXPECT_LE(of_draws[of_draws.size() / 2], 1.0) << name;
  }
}

TEST(FusedBlockWeights, MayBeginAnywhereButHaveTheirShapes) {
  if (kDevice.is_cuda() && !torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  torch::manual_seed(1);
  MlstmBlock block(MlstmBlockOptions{.dim = 32, .expansion = 2, .cell = {}});
  block->to(kDevice);
  const ops::ResidualStream in{torch::randn({2, 9, 32}).to(kDevice), {}, false};
  const auto moved = [](const torch::Tensor& x) {
    return torch::cat({x.new_zeros({1}), x.detach().flatten()}).narrow(0, 1, x.numel()).view(x.sizes());
  };
  const auto weights = block->weights();
  auto views = weights;
  for (torch::Tensor* x :
       {&views.norm, &views.conv_weight, &views.conv_bias, &views.q_proj, &views.k_proj, &views.v_proj,
        &views.igate_weight, &views.igate_bias, &views.fgate_weight, &views.fgate_bias, &views.outnorm, &views.skip}) {
    *x = moved(*x);
  }
  const ops::BlockOptions options{.dtype = cases({{.dtype = torch::kBFloat16}}).front().dtype};
  const auto expected = ops::fused_mlstm_block(in, weights, options);
  EXPECT_TRUE(ops::fused_mlstm_block(in, views, options).delta.equal(expected.delta));
  views.fgate_weight = views.fgate_weight.narrow(0, 0, 1);
  EXPECT_THROW(ops::fused_mlstm_block(in, views, options), Error);
}

constexpr auto kExponential = ops::InputGate::kExponential;
constexpr auto kSigmoid = ops::InputGate::kSigmoid;

INSTANTIATE_TEST_SUITE_P(
    Small, FusedBlock,
    testing::ValuesIn(cases({Case{2, 9, 32, 2, true, false, false, kExponential, torch::kFloat16},
                             Case{1, 70, 80, 4, false, false, true, kExponential, torch::kBFloat16},
                             Case{2, 67, 32, 2, true, true, false, kSigmoid, torch::kBFloat16},
                             // Lengths about those of steps and blocks of the kernels.
                             Case{3, 1, 32, 2, true, false, false, kExponential, torch::kBFloat16},
                             Case{1, 17, 32, 2, true, false, true, kExponential, torch::kFloat16},
                             Case{1, 129, 32, 2, true, false, false, kExponential, torch::kBFloat16},
                             Case{1, 257, 32, 2, true, false, false, kExponential, torch::kFloat16},
                             Case{1, 300, 64, 3, true, true, true, kExponential, torch::kFloat16},
                             // Heads that 8 and 16 lanes share.
                             Case{1, 5, 208, 4, true, false, false, kExponential, torch::kBFloat16},
                             Case{1, 3, 416, 4, true, false, true, kExponential, torch::kBFloat16}})),
    name_of);
#ifdef AXLSTM_EMULATED
constexpr auto kHopper = ops::Isa::kHopper;
INSTANTIATE_TEST_SUITE_P(
    Hopper, FusedBlock,
    testing::Values(Case{1, 70, 64, 4, true, false, true, kExponential, torch::kBFloat16, kHopper},
                    Case{2, 67, 144, 4, true, true, false, kSigmoid, torch::kFloat16, kHopper},
                    Case{1, 251, 80, 4, true, false, false, kExponential, torch::kBFloat16, kHopper},
                    Case{1, 300, 32, 2, true, false, false, kExponential, torch::kBFloat16, kHopper}),
    name_of);
#else
INSTANTIATE_TEST_SUITE_P(
    Large, FusedBlock,
    testing::ValuesIn(cases({Case{2, 251, 192, 3, true, false, false, kExponential, torch::kBFloat16},
                             Case{2, 251, 384, 2, true, true, true, kExponential, torch::kFloat16},
                             Case{1, 126, 768, 3, true, false, false, kExponential, torch::kBFloat16},
                             Case{1, 1100, 192, 4, true, false, false, kSigmoid, torch::kBFloat16}})),
    name_of);
#endif

}  // namespace
}  // namespace axlstm::nn
