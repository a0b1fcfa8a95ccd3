// A step's forward and backward pass as a CUDA graph changes no bit of the training.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/train/step.h"

namespace axlstm::train {
namespace {

struct Case {
  const char* arch;
  runtime::Precision precision;
  objective::Kind objective = objective::Kind::kMaskedTokens;
  std::int64_t device_batch = 0;
};

config::RunConfig config_of(const Case& c) {
  config::RunConfig config;
  config.model.arch = c.arch;
  config.model.size = model::Size::kCustom;
  config.model.dim = 96;
  config.model.depth = 2;
  if (config.model.arch == "ssast" || config.model.arch == "mae") config.model.attention_heads = 4;
  config.model = model::resolve(config.model);
  config.objective = c.objective;
  config.train.device_batch = c.device_batch;
  config.optim.clip_grad_norm = 0.5;
  return config;
}

struct Outcome {
  std::vector<double> losses, norms;
  std::vector<torch::Tensor> weights;
  bool recorded = false;
};

/// Eight steps; the sixth has fewer clips.
Outcome train(const Case& c, CudaGraph choice) {
  const auto config = config_of(c);
  torch::manual_seed(3);
  const auto objective = objective::make_objective(config);
  objective->module().to(torch::kCUDA);
  AdamW optimizer(objective->module(), config.optim);
  GradScaler scaler(torch::kCUDA, c.precision == runtime::Precision::kFp16);
  StepGraph graph(choice);
  const StepSetup setup{*objective, optimizer, {c.precision, torch::kCUDA}, config, &scaler, nullptr, &graph};
  Outcome outcome;
  for (std::int64_t step = 0; step < 8; ++step) {
    torch::manual_seed(static_cast<std::uint64_t>(100 + step));
    const std::int64_t clips = step == 5 ? 3 : 6;
    const auto spectrogram = torch::randn({clips, 1, config.model.frames, config.model.mels});
    const auto drawn =
        objective->draw(clips, at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(step)));
    const auto result = training_step(setup, {spectrogram, {}, {}}, drawn, 1e-3);
    outcome.losses.push_back(result.loss);
    outcome.norms.push_back(result.grad_norm);
  }
  for (const auto& parameter : objective->module().parameters()) outcome.weights.push_back(parameter.detach().cpu());
  outcome.recorded = graph.recorded();
  return outcome;
}

class StepGraphTest : public testing::TestWithParam<Case> {};

TEST_P(StepGraphTest, ChangesNoBit) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  const auto eager = train(GetParam(), CudaGraph::kOff), graph = train(GetParam(), CudaGraph::kOn);
  EXPECT_FALSE(eager.recorded);
  EXPECT_TRUE(graph.recorded);
  EXPECT_EQ(eager.losses, graph.losses);
  EXPECT_EQ(eager.norms, graph.norms);
  for (std::size_t n = 0; n < eager.weights.size(); ++n) EXPECT_TRUE(eager.weights[n].equal(graph.weights[n])) << n;
}

INSTANTIATE_TEST_SUITE_P(Trainings, StepGraphTest,
                         testing::Values(Case{"axlstm", runtime::Precision::kBf16},
                                         Case{"axlstm", runtime::Precision::kFp16, objective::Kind::kMaskedTokens, 2},
                                         Case{"axlstm", runtime::Precision::kFp32},
                                         Case{"ssast", runtime::Precision::kBf16},
                                         Case{"ssast", runtime::Precision::kFp16, objective::Kind::kMaskedTokens, 4},
                                         Case{"ssam", runtime::Precision::kBf16},
                                         Case{"mae", runtime::Precision::kBf16, objective::Kind::kMaskedAutoencoder}),
                         [](const auto& info) {
                           return str(info.param.arch, "_", enum_name(info.param.precision), "_",
                                      info.param.device_batch);
                         });

}  // namespace
}  // namespace axlstm::train
