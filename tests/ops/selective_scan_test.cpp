// The selective scan and the mixer against the authors' tensors; continued scans; what is refused.
#include "axlstm/ops/selective_scan.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>

#include "axlstm/core/error.h"
#include "axlstm/nn/mamba_block.h"
#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::ops {
namespace {

class GoldenScan : public testing::TestWithParam<const char*> {};

TEST_P(GoldenScan, EqualsTheAuthorsCode) {
  const auto golden = test::load_golden(GetParam());
  // Theirs is [B, channels, S].
  const auto token_major = [](const torch::Tensor& x) { return x.dim() == 3 ? x.transpose(1, 2) : x; };
  std::map<std::string, torch::Tensor> leaves;
  for (const auto& [name, tensor] : golden.with_prefix("in.")) {
    if (name != "grad_y") leaves[name] = tensor.clone().requires_grad_();
  }
  const ScanInputs inputs{token_major(leaves["u"]), token_major(leaves["delta"]), -leaves["A_log"].exp(),
                          token_major(leaves["B"]), token_major(leaves["C"]),     leaves["D"],
                          token_major(leaves["z"]), leaves["delta_bias"]};
  torch::Tensor state;
  const auto y = selective_scan_stream(inputs, state);
  y.backward(token_major(golden["in.grad_y"]));
  test::expect_golden(GetParam(), "y", test::relative_error(y, token_major(golden["out.y"])), 1e-12);
  test::expect_golden(GetParam(), "last state", test::relative_error(state, golden["out.last_state"]), 1e-12);
  for (const auto& [name, expected] : golden.with_prefix("grad.")) {
    test::expect_golden(GetParam(), "gradients", test::relative_error(leaves[name].grad(), expected), 1e-11);
  }
}

INSTANTIATE_TEST_SUITE_P(Scans, GoldenScan,
                         testing::Values("ssam_scan_short", "ssam_scan_odd", "ssam_scan_long",
                                         "ssam_scan_extreme_steps"));

class GoldenMixer : public testing::TestWithParam<const char*> {
 protected:
  /// Output and gradients, by name.
  static test::Tensors run(const test::Golden& golden, torch::ScalarType dtype, Backend backend) {
    const auto& config = golden.config;
    nn::MambaMixer mixer(nn::MambaBlockOptions{
        .dim = config.at("dim"), .expansion = config.at("expand"), .state = config.at("d_state"), .backend = backend});
    mixer->to(dtype);
    const torch::NoGradGuard no_grad;
    auto parameters = mixer->named_parameters();
    EXPECT_EQ(parameters.size(), golden.with_prefix("param.").size());
    for (const auto& [name, value] : golden.with_prefix("param.")) parameters[name].copy_(value);
    const torch::AutoGradMode grad(true);
    const auto x = golden["in.x"].to(dtype).detach().requires_grad_();
    const auto y = mixer->forward(x);
    y.backward(golden["in.grad_y"].to(dtype));
    test::Tensors results{{"y", y.detach()}, {"in.x", x.grad()}};
    for (const auto& item : parameters) results[item.key()] = item.value().grad();
    return results;
  }

  static void expect_near(const test::Golden& golden, const test::Tensors& results, const std::string& how,
                          double limit) {
    for (const auto& [name, result] : results) {
      const auto& expected = golden[name == "y" ? "out.y" : "grad." + name];
      test::expect_golden(GetParam(), how, test::relative_error(result.to(torch::kFloat64), expected), limit);
    }
  }
};

TEST_P(GoldenMixer, EqualsTheAuthorsCode) {
  const auto golden = test::load_golden(GetParam());
  expect_near(golden, run(golden, torch::kFloat64, Backend::kReference), "mixer, operators", 1e-11);
  for (const auto backend : {Backend::kCell, Backend::kFused}) {
    expect_near(golden, run(golden, torch::kFloat32, backend), str("mixer, ", enum_name(backend)), 2e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Mixers, GoldenMixer, testing::Values("ssam_mixer_d32", "ssam_mixer_d24_n16_e2"));

TEST(SelectiveScan, AStreamInPiecesEqualsTheWhole) {
  torch::manual_seed(3);
  const auto tokens = [](std::int64_t width) { return torch::randn({2, 40, width}); };
  const ScanInputs whole{tokens(16),         tokens(16), -torch::rand({16, 8}), tokens(8), tokens(8),
                         torch::randn({16}), tokens(16), torch::randn({16})};
  torch::Tensor state;
  std::vector<torch::Tensor> pieces;
  for (const auto& [begin, length] : {std::pair{0, 7}, {7, 1}, {8, 32}}) {
    const auto piece = [&](const torch::Tensor& x) { return x.narrow(1, begin, length); };
    pieces.push_back(selective_scan_stream({piece(whole.u), piece(whole.delta), whole.A, piece(whole.B), piece(whole.C),
                                            whole.D, piece(whole.z), whole.delta_bias},
                                           state));
  }
  EXPECT_LE(test::relative_error(torch::cat(pieces, 1), selective_scan(whole, Backend::kCell)), 1e-5);
}

TEST(SelectiveScan, SaysWhatItCannotTake) {
  const auto tokens = [](std::int64_t width) { return torch::randn({2, 3, width}); };
  ScanInputs inputs{tokens(24),         tokens(24), -torch::rand({24, 8}), tokens(8), tokens(8),
                    torch::randn({24}), tokens(24), torch::randn({24})};
  EXPECT_EQ(selective_scan(inputs).sizes(), inputs.u.sizes());  // by LibTorch's operators
  test::expect_error([&] { selective_scan(inputs, Backend::kCell); }, {"24", "multiple of 16"});
  inputs.C = tokens(7);
  test::expect_error([&] { selective_scan(inputs); }, {"C must be [2, 3, 8]", "[2, 3, 7]"});
  EXPECT_NE(scan_kernel_obstacle(torch::kCPU, torch::kBFloat16, 32, 8).find("BFloat16"), std::string::npos);
  EXPECT_NE(scan_kernel_obstacle(torch::kCPU, torch::kFloat32, 32, 65).find("65"), std::string::npos);
  test::expect_usage_error([] { resolve_mixer_backend(Backend::kFused, torch::kCPU, torch::kFloat32, 24, 8); },
                           {"kernel.backend fused", "24"});
}

}  // namespace
}  // namespace axlstm::ops
