#include "axlstm/ops/mlstm.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "support/golden.h"
#include "support/gradcheck.h"

namespace axlstm::ops {
namespace {

constexpr double kFloat64Limit = 1e-10;

struct CellInputs {
  torch::Tensor q, k, v, i, f;  // q, k, v [B, S, NH, DH]; i, f [B, S, NH]
};

CellInputs random_inputs(std::int64_t B, std::int64_t S, std::int64_t NH, std::int64_t DH, double gate_scale) {
  const auto draw = [](at::IntArrayRef sizes) { return torch::randn(sizes, torch::kFloat64); };
  return {draw({B, S, NH, DH}), draw({B, S, NH, DH}), draw({B, S, NH, DH}), draw({B, S, NH}) * gate_scale,
          draw({B, S, NH}) * gate_scale + 2};
}

/// h and the gradients of Σ h·grad_h with respect to the five inputs.
std::vector<torch::Tensor> run(const CellInputs& in, const torch::Tensor& grad_h, const MlstmOptions& options) {
  std::vector<torch::Tensor> inputs{in.q, in.k, in.v, in.i, in.f};
  for (auto& input : inputs) input = input.detach().clone().requires_grad_();
  const auto h = mlstm(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], options);
  (h * grad_h).sum().backward();
  std::vector<torch::Tensor> results{h.detach()};
  for (const auto& input : inputs) results.push_back(input.grad());
  return results;
}

class GoldenCell : public testing::TestWithParam<std::tuple<const char*, Backend>> {};

TEST_P(GoldenCell, OutputAndGradients) {
  const auto& [name, backend] = GetParam();
  const auto golden = test::load_golden(name);
  const auto tokens_first = [&](const char* tensor) { return golden[tensor].transpose(1, 2); };
  const auto gate = [&](const char* tensor) { return tokens_first(tensor).squeeze(-1); };
  const CellInputs in{tokens_first("in.q"), tokens_first("in.k"), tokens_first("in.v"), gate("in.igate"),
                      gate("in.fgate")};
  const bool sigmoid = golden.config.at("input_gate") == "sigmoid";
  const MlstmOptions options{.input_gate = sigmoid ? InputGate::kSigmoid : InputGate::kExponential, .backend = backend};
  const auto results = run(in, tokens_first("in.grad_h"), options);
  const std::vector<torch::Tensor> expected{tokens_first("out.h"),  tokens_first("grad.q"), tokens_first("grad.k"),
                                            tokens_first("grad.v"), gate("grad.igate"),     gate("grad.fgate")};
  const char* names[] = {"h", "gradient", "gradient", "gradient", "gradient", "gradient"};
  const std::string suffix = backend == Backend::kRecurrent ? " (recurrent)" : "";
  for (std::size_t n = 0; n < results.size(); ++n) {
    test::expect_golden(name, names[n] + suffix, test::relative_error(results[n], expected[n]), kFloat64Limit);
  }
}

INSTANTIATE_TEST_SUITE_P(Cells, GoldenCell,
                         testing::Combine(testing::Values("cell_short", "cell_odd", "cell_extreme_gates",
                                                          "cell_sigmoid_gate"),
                                          testing::Values(Backend::kReference, Backend::kRecurrent)));

TEST(Mlstm, RecurrentEqualsParallel) {
  torch::manual_seed(1);
  for (const double gate_scale : {1.0, 30.0}) {
    for (const std::int64_t S : {1, 2, 17}) {
      const auto in = random_inputs(2, S, 3, 8, gate_scale);
      const auto grad_h = torch::randn_like(in.q);
      for (const auto gate : {InputGate::kExponential, InputGate::kSigmoid}) {
        const auto parallel = run(in, grad_h, {.input_gate = gate, .backend = Backend::kReference});
        const auto recurrent = run(in, grad_h, {.input_gate = gate, .backend = Backend::kRecurrent});
        for (std::size_t n = 0; n < parallel.size(); ++n) {
          EXPECT_LE(test::absolute_error(recurrent[n], parallel[n]),
                    kFloat64Limit * (1 + parallel[n].abs().max().item<double>()))
              << "S " << S << ", gate scale " << gate_scale << ", result " << n;
        }
      }
    }
  }
}

TEST(Mlstm, StreamingInPiecesEqualsOneCall) {
  torch::manual_seed(2);
  const auto in = random_inputs(2, 23, 2, 8, 2.0);
  const auto whole = mlstm(in.q, in.k, in.v, in.i, in.f, {.backend = Backend::kReference});
  std::vector<MlstmState> ends;
  for (const auto backend : {Backend::kAuto, Backend::kRecurrent}) {
    MlstmState state;
    std::vector<torch::Tensor> pieces;
    for (const auto& [from, to] : std::vector<std::pair<int, int>>{{0, 1}, {1, 9}, {9, 23}}) {
      const auto cut = [&](const torch::Tensor& x) { return x.slice(1, from, to); };
      pieces.push_back(
          mlstm_stream(cut(in.q), cut(in.k), cut(in.v), cut(in.i), cut(in.f), state, {.backend = backend}));
    }
    EXPECT_LE(test::relative_error(torch::cat(pieces, 1), whole), kFloat64Limit) << enum_name(backend);
    ends.push_back(state);
  }
  EXPECT_LE(test::relative_error(ends[0].C, ends[1].C), kFloat64Limit);
  EXPECT_LE(test::relative_error(ends[0].n, ends[1].n), kFloat64Limit);
  EXPECT_LE(test::relative_error(ends[0].m, ends[1].m), kFloat64Limit);
}

TEST(Mlstm, GradientsMatchFiniteDifferences) {
  torch::manual_seed(3);
  for (const auto gate : {InputGate::kExponential, InputGate::kSigmoid}) {
    const auto in = random_inputs(1, 6, 2, 4, 1.0);
    const auto weight = torch::randn_like(in.q);
    const auto f = [&](const std::vector<torch::Tensor>& x) {
      return (mlstm(x[0], x[1], x[2], x[3], x[4], {.input_gate = gate}) * weight).sum();
    };
    EXPECT_LE(test::gradient_error(f, {in.q, in.k, in.v, in.i, in.f}), 1e-6);
  }
}

TEST(Mlstm, LaterTokensDoNotReachEarlierOnes) {
  torch::manual_seed(4);
  auto in = random_inputs(1, 12, 2, 8, 1.0);
  const auto before = mlstm(in.q, in.k, in.v, in.i, in.f);
  for (auto* x : {&in.q, &in.k, &in.v}) x->slice(1, 7).normal_();
  for (auto* x : {&in.i, &in.f}) x->slice(1, 7).normal_();
  const auto after = mlstm(in.q, in.k, in.v, in.i, in.f);
  EXPECT_TRUE(before.slice(1, 0, 7).equal(after.slice(1, 0, 7)));
  EXPECT_FALSE(before.slice(1, 7).equal(after.slice(1, 7)));
}

TEST(Mlstm, WrongShapesNameTheTensor) {
  const auto in = random_inputs(1, 5, 2, 4, 1.0);
  try {
    mlstm(in.q, in.k.slice(1, 0, 4), in.v, in.i, in.f);
    FAIL() << "no error";
  } catch (const Error& failure) {
    EXPECT_NE(std::string(failure.what()).find("k must be [1, 5, 2, 4]"), std::string::npos) << failure.what();
  }
  EXPECT_THROW(mlstm(in.q, in.k, in.v, in.i.unsqueeze(-1), in.f), Error);
  EXPECT_THROW(mlstm(in.q, in.k, in.v.to(torch::kFloat32), in.i, in.f), Error);
}

}  // namespace
}  // namespace axlstm::ops
