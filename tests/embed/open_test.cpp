#include "axlstm/embed/open.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/config/schema.h"
#include "axlstm/core/error.h"
#include "axlstm/embed/embedder.h"
#include "axlstm/objective/objective.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::embed {
namespace {

constexpr const char* kSmall = "model: {size: custom, dim: 16, depth: 1}\n";

/// A run with one checkpoint, whose configuration is `yaml`.
std::filesystem::path make_run(const test::TemporaryFolder& folder, const config::RunConfig& config,
                               const std::string& yaml) {
  torch::manual_seed(3);
  const auto objective = objective::make_objective(config);
  checkpoints::Checkpoint checkpoint;
  checkpoint.step = 1;
  for (const auto& [name, tensor] : checkpoints::state_dict(objective->module())) checkpoint.model[name] = tensor;
  checkpoint.optimizer["m"] = torch::zeros({1});
  checkpoint.config_yaml = yaml;
  const auto run = folder.path() / "run";
  checkpoints::save_checkpoint(run, checkpoint, {});
  return run;
}

torch::Tensor embedding_of(const ModelArguments& arguments) {
  const auto encoder = open(arguments, torch::kCPU, /*announced=*/false);
  return encoder->embed({torch::sin(torch::arange(16000) * 0.05)}, EmbeddingKind::kScene).front().scene;
}

TEST(Open, RunsAndTheirCheckpointsAreTheSame) {
  const test::TemporaryFolder folder;
  const auto config = config::read(config::parse(kSmall, "test"));
  const auto run = make_run(folder, config, config::dump(config));
  const auto embedding = embedding_of({.name = run.string(), .layout = {}});
  EXPECT_EQ(embedding.sizes(), (std::vector<std::int64_t>{5 * 16}));
  EXPECT_TRUE(embedding.equal(embedding_of({.name = (run / "checkpoints" / "step-00000001").string(), .layout = {}})));
  EXPECT_FALSE(embedding.equal(embedding_of({.name = run.string(), .layout = EmbeddingLayout::kReleased})));
}

TEST(Open, PaddingIsThatOfTheRunUnlessAnotherIsGiven) {
  const test::TemporaryFolder folder;
  auto config = config::read(config::parse(kSmall, "test"));
  const auto zeros = make_run(folder, config, config::dump(config));
  const auto plain = embedding_of({.name = zeros.string(), .layout = {}});
  const auto mirrored = embedding_of({.name = zeros.string(), .layout = {}, .padding = Padding::kReflect});
  EXPECT_FALSE(plain.equal(mirrored));
  const test::TemporaryFolder other;
  config.embedding.padding = Padding::kReflect;
  const auto run = make_run(other, config, config::dump(config));
  EXPECT_TRUE(mirrored.equal(embedding_of({.name = run.string(), .layout = {}})));
  EXPECT_TRUE(plain.equal(embedding_of({.name = run.string(), .layout = {}, .padding = Padding::kZero})));
  const auto described = [](const ModelArguments& arguments) {
    return open(arguments, torch::kCPU, /*announced=*/false)->description();
  };
  EXPECT_NE(described({.name = run.string(), .layout = {}}).find("layout time_frequency, padding reflect"),
            std::string::npos);
  EXPECT_EQ(described({.name = zeros.string(), .layout = {}}).find("padding"), std::string::npos);
}

TEST(Open, ARunThatStoredKeysOfAnotherArchitectureIsReadAsBefore) {
  const test::TemporaryFolder folder;
  const auto config =
      config::read(config::parse("model: {arch: ssast, size: custom, dim: 16, depth: 1, attention_heads: 2}", "test"));
  std::string yaml = config::dump(config);
  const std::string by_default = "expansion: 3";
  yaml.replace(yaml.find(by_default), by_default.size(), "expansion: 4");  // earlier versions let that pass
  test::expect_usage_error([&] { config::read(config::parse(yaml, "test")); }, {"model.expansion"});
  const auto run = make_run(folder, config, yaml);
  EXPECT_EQ(embedding_of({.name = run.string(), .layout = {}}).numel(), 5 * 16);
}

TEST(Open, RandomWeightsFollowFromTheSeed) {
  const test::TemporaryFolder folder;
  const auto file = folder.write("tiny.yaml", kSmall).string();
  const auto a = embedding_of({.name = "random:" + file, .layout = {}, .seed = 1});
  EXPECT_TRUE(a.equal(embedding_of({.name = "random:" + file, .layout = {}, .seed = 1})));
  EXPECT_FALSE(a.equal(embedding_of({.name = "random:" + file, .layout = {}, .seed = 2})));
}

TEST(Open, TheKernelsOfAConfigurationCountButNotThoseOfATraining) {
  const test::TemporaryFolder folder;
  const std::string yaml = str(kSmall, "kernel: {backend: reference}\n");
  const auto backend = [](const std::string& name) {
    const auto encoder = open({.name = name, .layout = {}}, torch::kCPU, false);
    return dynamic_cast<Embedder&>(*encoder).encoder_options().backend;
  };
  EXPECT_EQ(backend("random:" + folder.write("reference.yaml", yaml).string()), ops::Backend::kReference);
  const auto config = config::read(config::parse(yaml, "test"));
  EXPECT_EQ(backend(make_run(folder, config, yaml).string()), ops::Backend::kAuto);
}

TEST(Open, NaiveHasNeitherLayoutNorPaddingNorAveragedWeights) {
  const auto naive = open({.name = "naive", .layout = {}}, torch::kCPU, false);
  EXPECT_EQ(naive->sample_rate(), 44100);
  EXPECT_TRUE(naive->takes_any_rate());
  EXPECT_FALSE(has_layout("naive"));
  EXPECT_TRUE(has_layout("runs/naive"));
  test::expect_usage_error([] { open({.name = "naive", .layout = EmbeddingLayout::kReleased}, torch::kCPU, false); },
                           {"HEAR-naive", "--layout"});
  test::expect_usage_error([] { open({.name = "naive", .layout = {}, .padding = Padding::kZero}, torch::kCPU, false); },
                           {"HEAR-naive", "--padding"});
  test::expect_usage_error([] { open({.name = "naive", .layout = {}, .ema = true}, torch::kCPU, false); }, {"--ema"});
}

TEST(Open, WhatIsNotThereIsNamed) {
  test::expect_error([] { open({.name = "/no/such/run", .layout = {}}, torch::kCPU, false); }, {"/no/such/run"});
  test::expect_usage_error([] { open({.name = "random:/no/such.yaml", .layout = {}}, torch::kCPU, false); },
                           {"/no/such.yaml"});
}

}  // namespace
}  // namespace axlstm::embed
