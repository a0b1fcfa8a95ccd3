// An architecture that exists in this test alone trains, resumes and embeds like the others.
#include "axlstm/model/architecture.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>

#include "axlstm/config/schema.h"
#include "axlstm/core/files.h"
#include "axlstm/embed/open.h"
#include "axlstm/model/blocks.h"
#include "axlstm/objective/objective.h"
#include "axlstm/train/trainer.h"
#include "data/clips.h"
#include "support/expect_error.h"

namespace axlstm::model {
namespace {

/// x + W·mean over tokens: the smallest block that mixes tokens.
class MeanBlock final : public nn::Block {
 public:
  explicit MeanBlock(std::int64_t dim) : mix_(torch::nn::LinearOptions(dim, dim).bias(false)) {
    register_module("mix", mix_);
  }
  ops::ResidualStream forward(const ops::ResidualStream& stream) override {
    const auto x = stream.sum();
    return {x, mix_->forward(x.mean(1, /*keepdim=*/true)).expand_as(x)};
  }

 private:
  torch::nn::Linear mix_;
};

void register_mean() {
  static const bool once = [] {
    Architecture facts{.name = "mean", .summary = "a mean", .marker = ".mix.", .keys = {"expansion"}};
    facts.check = [](const EncoderOptions& options) {
      if (options.expansion > 8) throw UsageError("model.expansion is too large for arch mean");
    };
    facts.describe = [](const EncoderOptions& options) { return str("E ", options.expansion); };
    facts.block_flops = [](const EncoderOptions& options, double) {
      return 2.0 * static_cast<double>(options.dim * options.dim);
    };
    add_architecture(facts, {[](const EncoderOptions& options, std::int64_t) -> std::shared_ptr<nn::Block> {
                               return std::make_shared<MeanBlock>(options.dim);
                             },
                             [](const EncoderOptions&, const runtime::Arithmetic&) { return KernelPlan{}; }});
    return true;
  }();
  ASSERT_TRUE(once);
}

class MeanArchitecture : public testing::Test {
 protected:
  MeanArchitecture() { register_mean(); }

  config::RunConfig config(const std::string& name, const std::vector<std::string>& more = {}) const {
    auto root = config::parse("{}", "test");
    std::vector<std::string> assignments{"model.arch=mean",
                                         "model.size=custom",
                                         "model.dim=16",
                                         "model.depth=2",
                                         "optim.global_batch=2",
                                         "optim.epochs=2",
                                         "optim.warmup_epochs=1",
                                         "train.device=cpu",
                                         "data.root=" + clips_.folder().path().string(),
                                         "train.run_dir=" + (folder_.path() / name).string()};
    assignments.insert(assignments.end(), more.begin(), more.end());
    for (const std::string& assignment : assignments) config::apply_override(root, assignment);
    return config::read(root);
  }

  static void train(const config::RunConfig& config) {
    const std::atomic<bool> stop{false};
    ASSERT_EQ(train::Trainer(config).run(stop), train::TrainingOutcome::kFinished);
  }

  test::Clips clips_{{2.5, 6.0, 3.0, 8.0}};
  test::TemporaryFolder folder_;
};

TEST_F(MeanArchitecture, TrainsResumesAndEmbeds) {
  const auto whole = config("whole"), pieces = config("pieces");
  train(whole);
  train(config("pieces", {"train.max_steps=1"}));
  train(pieces);
  const auto a = checkpoints::load_newest_checkpoint(whole.train.run_dir);
  const auto b = checkpoints::load_newest_checkpoint(pieces.train.run_dir);
  ASSERT_TRUE(a && b);
  ASSERT_EQ(a->step, 4);
  ASSERT_EQ(a->model.count("blocks.1.mix.weight"), 1u);
  for (const auto& [name, tensor] : a->model) EXPECT_TRUE(b->model.at(name).equal(tensor)) << name;

  const auto encoder = embed::open({.name = whole.train.run_dir, .layout = {}}, torch::kCPU, /*announced=*/false);
  const auto embedded = encoder->embed({torch::randn({16000})}, embed::EmbeddingKind::kScene);
  ASSERT_EQ(embedded.size(), 1u);
  EXPECT_EQ(embedded.front().scene.numel(), 5 * 16);
}

TEST_F(MeanArchitecture, IsKnownByItsName) {
  EXPECT_EQ(architecture("mean").name, "mean");
  EXPECT_NE(describe(config("x").model).find("mean custom (D 16, 2 blocks, E 3"), std::string::npos);
  EXPECT_NE(config::dump(config("x")).find("arch: mean"), std::string::npos);
  test::expect_usage_error([&] { config("x", {"model.expansion=9"}); }, {"model.expansion", "mean"});
  ASSERT_NE(architecture_of({"cls_token", "blocks.0.mix.weight"}), nullptr);
  EXPECT_EQ(architecture_of({"cls_token", "blocks.0.mix.weight"})->name, "mean");
  EXPECT_EQ(architecture_of({"cls_token"}), nullptr);
}

TEST(Architectures, AreFoundByNameOnly) {
  test::expect_usage_error([] { architecture("ssam2"); }, {"model.arch", "ssam2", "axlstm", "ssast"});
  test::expect_usage_error([] { blocks("ssam2"); }, {"model.arch", "ssam2"});
}

TEST(Architectures, AllHaveBlocksWithTheFlopsOfTheirParametersAndMarkers) {
  const std::vector<std::string> own{"axlstm", "ssam", "ssast", "mae"};
  for (const Architecture& each : architectures()) {
    if (each.name == "mean") continue;  // of this test
    EncoderOptions options;
    options.arch = each.name;
    options = resolve(options);
    const auto block = blocks(each.name).make(options, 0);
    ASSERT_TRUE(block) << each.name;
    // Nearly all weights are of matrices. These use them once for each token, and attention or cell come on top; what
    // a block does once for a clip counts once.
    const bool for_each_token = std::find(own.begin(), own.end(), each.name) != own.end();
    const double parameters = static_cast<double>(parameter_count(*block));
    EXPECT_GT(each.block_flops(options, 251), 2 * (for_each_token ? 251 : 1) * 0.9 * parameters) << each.name;
    std::vector<std::string> names;
    for (const auto& item : block->named_parameters()) names.push_back("blocks.0." + item.key());
    ASSERT_NE(architecture_of(names), nullptr) << each.name;
    EXPECT_EQ(architecture_of(names)->name, each.marker.empty() ? "ssast" : each.name);
    EXPECT_NO_THROW(kernel_plan(options, {runtime::Precision::kFp32, torch::kCPU}));
  }
}

TEST(Architectures, KeysOfAnotherOneAreRefusedNamingBoth) {
  EncoderOptions options;
  options.arch = "ssast";
  options.expansion = 4;
  test::expect_usage_error([&] { resolve(options); }, {"model.expansion is 4", "axlstm", "model.arch is ssast"});
  options.expansion = 3;
  options.flip = true;
  test::expect_usage_error([&] { resolve(options); }, {"model.flip is true", "axlstm", "ssast"});
  options.flip = false;
  options.state = 16;
  test::expect_usage_error([&] { resolve(options); }, {"model.state is 16", "ssam", "model.arch is ssast"});
  options = {};
  options.attention_heads = 7;
  test::expect_usage_error([&] { resolve(options); }, {"model.attention_heads is 7"});
  EXPECT_NO_THROW(resolve(resolve({})));  // what a size fills in is nobody's own
}

}  // namespace
}  // namespace axlstm::model
