#include "axlstm/objective/masked_autoencoding.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/config/config.h"
#include "support/golden.h"

namespace axlstm::objective {
namespace {

config::RunConfig recipe(const std::string& yaml) { return config::read(config::parse(yaml, "test")); }

config::RunConfig mwmae(const std::string& size) {
  return recipe("objective: {name: masked_autoencoder}\nmodel: {arch: mae, class_token: false, size: " + size +
                "}\nmask: {ratio: 0.8}\ndecoder: {windows: [2, 5, 10, 25, 50, 125, global, global]}\n");
}

config::RunConfig small(const std::string& model) {
  return recipe("objective: {name: masked_autoencoder}\nmask: {ratio: 0.8}\nmodel: {size: custom, dim: 16, depth: 1, " +
                model + "}\ndecoder: {dim: 16, depth: 1, heads: 2}\n");
}

data::Batch batch_of(std::int64_t clips) { return {torch::randn({clips, 1, 200, 80}), {}, {}}; }

TEST(MaskedAutoencodingFlops, OfMwMae) {
  // By hand for MW-MAE-T: 50 of 250 patches through 12 blocks of width 192, all through 4 of width 384.
  const auto block = [](double tokens, double width) {
    return 2 * tokens * width * width * (3 + 1 + 4 + 4) + 2 * 2 * tokens * tokens * width;
  };
  double unseen = 0;  // by the windowed heads, of 48 channels: scores and what they weigh
  for (const int window : {2, 5, 10, 25, 50, 125}) unseen += 2 * 2 * 250.0 * (250 - window) * 48;
  const double ends = 2.0 * 250 * 64 * 192 + 2.0 * 50 * 192 * 384 + 2.0 * 250 * 384 * 64;
  EXPECT_DOUBLE_EQ(MaskedAutoencoding(mwmae("tiny")).forward_flops(),
                   12 * block(50, 192) + 4 * (block(250, 384) - unseen) + ends);
  EXPECT_NEAR(3 * MaskedAutoencoding(mwmae("tiny")).forward_flops() / 1e9, 12.8, 0.2);
  EXPECT_NEAR(3 * MaskedAutoencoding(mwmae("base")).forward_flops() / 1e9, 36.9, 0.3);
}

TEST(MaskedAutoencodingFlops, GrowWithWhatIsSeenAndWithAClassToken) {
  const auto flops = [](const std::string& model, double ratio) {
    auto config = small(model);
    config.mask.ratio = ratio;
    return MaskedAutoencoding(config).forward_flops();
  };
  const std::string mae = "arch: mae, attention_heads: 2";
  EXPECT_GT(flops(mae, 0.5), flops(mae, 0.8));
  EXPECT_GT(flops(mae, 0.8), flops(mae + ", class_token: false", 0.8));
}

TEST(MaskedAutoencodingLoss, OfABatchIsTheMeanOfThoseOfItsParts) {
  for (const char* model : {"arch: mae, attention_heads: 2, class_token: false", "arch: mae, attention_heads: 2",
                            "arch: axlstm", "arch: ssam"}) {
    for (const auto region : {model::LossRegion::kMasked, model::LossRegion::kAll}) {
      torch::manual_seed(1);
      auto config = small(model);
      config.loss.region = region;
      config.loss.normalize_targets = true;
      MaskedAutoencoding objective(config);
      const torch::NoGradGuard no_grad;
      const auto batch = batch_of(6);
      const auto drawn = objective.draw(6, at::make_generator<at::CPUGeneratorImpl>(7));
      ASSERT_EQ(drawn.size(0), 6);
      auto sum = torch::zeros({});
      for (const auto& [first, count] : {std::pair{0, 1}, {1, 2}, {3, 3}}) {
        const data::Batch part{batch.spectrogram.narrow(0, first, count), {}, {}};
        sum += count * objective.loss(part, drawn.narrow(0, first, count));
      }
      EXPECT_LE(test::relative_error(sum / 6, objective.loss(batch, drawn)), 1e-5) << model;
    }
  }
}

TEST(MaskedAutoencodingEncoder, SharesItsWeightsAndSeesAllPatches) {
  torch::manual_seed(1);
  MaskedAutoencoding objective(small("arch: mae, attention_heads: 2, class_token: false, train_positions: true"));
  auto encoder = objective.encoder();
  const torch::NoGradGuard no_grad;
  const auto batch = batch_of(2);
  const auto before = encoder->forward(batch.spectrogram);
  EXPECT_EQ(before.sizes(), (std::vector<std::int64_t>{2, 250, 16}));
  for (auto& item : objective.module().named_parameters()) {
    if (item.key().starts_with("decoder_")) item.value().normal_();
  }
  EXPECT_TRUE(encoder->forward(batch.spectrogram).equal(before)) << "the decoder is no part of it";
  objective.module().named_parameters()["pos_embed"].normal_();
  EXPECT_FALSE(encoder->forward(batch.spectrogram).equal(before));
}

}  // namespace
}  // namespace axlstm::objective
