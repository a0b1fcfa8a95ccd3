// The selective scan and the mixer against the authors' tensors, and own code against float64, held to twice the error
// of the same formula through LibTorch's operators in float32.
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

constexpr torch::Tensor ScanInputs::*kMembers[] = {&ScanInputs::u, &ScanInputs::delta,     &ScanInputs::A,
                                                   &ScanInputs::B, &ScanInputs::C,         &ScanInputs::D,
                                                   &ScanInputs::z, &ScanInputs::delta_bias};
const char* const kNames[] = {"u", "delta", "A", "B", "C", "D", "z", "delta_bias"};

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

struct Case {
  std::int64_t B, S, I, N;
  double step_scale;  ///< of Δ before the softplus
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const auto& c = info.param;
  return str("B", c.B, "_S", c.S, "_I", c.I, "_N", c.N, c.step_scale > 5 ? "_extreme" : "");
}

class ScanOnTheCpu : public testing::TestWithParam<Case> {
 protected:
  static std::vector<torch::Tensor> draw(const Case& c) {
    torch::manual_seed(static_cast<std::uint64_t>(c.S * 1000 + c.I + c.N));
    const auto A_log = torch::rand({c.I, c.N}) * std::log(static_cast<double>(c.N) + 1);
    return {torch::randn({c.B, c.S, c.I}),
            torch::randn({c.B, c.S, c.I}) * c.step_scale - 2,
            -A_log.exp(),
            torch::randn({c.B, c.S, c.N}),
            torch::randn({c.B, c.S, c.N}),
            torch::randn({c.I}),
            torch::randn({c.B, c.S, c.I}),
            torch::randn({c.I}) - 2,
            torch::randn({c.B, c.S, c.I})};
  }

  /// y and the gradients, in float64.
  static std::vector<torch::Tensor> run(const std::vector<torch::Tensor>& drawn, torch::ScalarType dtype,
                                        Backend backend) {
    ScanInputs inputs;
    for (std::size_t n = 0; n < std::size(kMembers); ++n) {
      inputs.*kMembers[n] = drawn[n].to(dtype).detach().requires_grad_();
    }
    const auto y = selective_scan(inputs, backend);
    y.backward(drawn.back().to(dtype));
    std::vector<torch::Tensor> results{y.detach().to(torch::kFloat64)};
    for (const auto member : kMembers) results.push_back((inputs.*member).grad().to(torch::kFloat64));
    return results;
  }
};

TEST_P(ScanOnTheCpu, IsAsExactAsLibTorchInFloat32) {
  const auto drawn = draw(GetParam());
  const auto exact = run(drawn, torch::kFloat64, Backend::kReference);
  const auto eager = run(drawn, torch::kFloat32, Backend::kReference);
  const auto own = run(drawn, torch::kFloat32, Backend::kCell);
  for (std::size_t n = 0; n < exact.size(); ++n) {
    const double scale = std::max(exact[n].norm().item<double>(), 1e-30);  // A of a single token has no effect
    const double allowed = std::max(2 * (eager[n] - exact[n]).norm().item<double>() / scale, 1e-6);
    EXPECT_LE((own[n] - exact[n]).norm().item<double>() / scale, allowed) << (n == 0 ? "y" : kNames[n - 1]);
  }
}

TEST_P(ScanOnTheCpu, RepeatsToTheLastBitAndWithoutGradients) {
  const auto drawn = draw(GetParam());
  const auto once = run(drawn, torch::kFloat32, Backend::kCell), twice = run(drawn, torch::kFloat32, Backend::kCell);
  for (std::size_t n = 0; n < once.size(); ++n) EXPECT_TRUE(once[n].equal(twice[n])) << n;
  const torch::NoGradGuard no_grad;
  ScanInputs inputs;
  for (std::size_t n = 0; n < std::size(kMembers); ++n) inputs.*kMembers[n] = drawn[n];
  EXPECT_TRUE(selective_scan(inputs, Backend::kCell).to(torch::kFloat64).equal(once[0]));
}

INSTANTIATE_TEST_SUITE_P(Small, ScanOnTheCpu,
                         testing::Values(Case{1, 1, 16, 1, 1}, Case{2, 15, 48, 5, 1}, Case{3, 16, 32, 24, 1},
                                         Case{2, 17, 32, 64, 1}, Case{5, 251, 96, 24, 1}, Case{1, 251, 96, 16, 1},
                                         Case{2, 67, 32, 24, 20}),
                         name_of);

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
