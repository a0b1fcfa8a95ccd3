#include "axlstm/model/masked_autoencoder.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/model/masked_model.h"
#include "axlstm/model/masking.h"
#include "axlstm/nn/patch_embed.h"
#include "axlstm/nn/window_attention_block.h"
#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::model {
namespace {

const std::vector<std::string> kWindows{"2", "5", "10", "25", "50", "125", kGlobal, kGlobal};

EncoderOptions encoder_of(Size size, bool class_token = false) {
  EncoderOptions options;
  options.arch = "mae";
  options.size = size;
  options.class_token = class_token;
  options.activation = nn::Activation::kGeluTanh;
  return resolve(options);
}

EncoderOptions small(const std::string& arch) {
  EncoderOptions options;
  options.arch = arch;
  options.size = Size::kCustom;
  options.dim = 16;
  options.depth = 2;
  if (arch == "ssast" || arch == "mae") options.attention_heads = 2;
  return resolve(options);
}

TEST(MaskedAutoencoder, HasTheParametersOfMwMae) {
  const DecoderOptions decoder{.windows = kWindows};
  const auto count = [&](Size size) { return parameter_count(*MaskedAutoencoder(encoder_of(size), decoder)); };
  EXPECT_EQ(count(Size::kTiny), 12'550'704);
  EXPECT_EQ(count(Size::kSmall), 28'592'496);
  EXPECT_EQ(parameter_count(*Encoder(encoder_of(Size::kTiny))), 5'351'232);
  auto trained = encoder_of(Size::kTiny);
  trained.train_positions = true;
  EXPECT_EQ(parameter_count(*MaskedAutoencoder(trained, decoder)), 12'550'704 + 144'000);
}

TEST(MaskedAutoencoder, AnyEncoderSeesTheVisiblePatchesAlone) {
  for (const char* arch : {"axlstm", "ssam", "ssast", "mae"}) {
    torch::manual_seed(0);
    auto options = small(arch);
    if (options.arch == "ssam" || options.arch == "mae") options.patch_order = PatchOrder::kFrequency;
    const MaskOptions mask_options{.ratio = 0.8};
    MaskedAutoencoder model(options, DecoderOptions{.dim = 16, .depth = 1, .heads = 2});
    const auto spectrogram = torch::randn({2, 1, 200, 80}), noise = torch::rand({2, 250});
    const auto mask = mask_from_noise(noise, options, mask_options);
    auto patches = nn::patchify(spectrogram, 4, 16);
    patches = torch::where(mask.unsqueeze(-1), torch::randn_like(patches) * 100, patches);
    const auto changed = nn::unpatchify(patches, 4, 16, 80);
    const auto prediction = model->reconstruct(spectrogram, mask);
    EXPECT_TRUE(prediction.equal(model->reconstruct(changed, mask))) << arch;

    // The loss is that of the whole reconstruction, and reaches every parameter.
    const auto target = reconstruction_target(spectrogram, options, {});
    const auto loss = model->loss(spectrogram, noise, mask_options, {});
    EXPECT_LE(test::relative_error(loss, reconstruction_loss(prediction, target, mask, LossRegion::kMasked)), 1e-5);
    const auto all = model->loss(spectrogram, noise, mask_options, {.region = LossRegion::kAll});
    EXPECT_LE(test::relative_error(all, reconstruction_loss(prediction, target, mask, LossRegion::kAll)), 1e-5);
    loss.backward();
    for (const auto& item : model->named_parameters()) EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
}

TEST(MaskedAutoencoder, HiddenTokensAreWhereTheyBelong) {
  // Of a decoder without blocks' influence the prediction of a hidden patch depends on its position alone.
  std::vector<torch::Tensor> predictions;
  for (const PatchOrder order : {PatchOrder::kTime, PatchOrder::kFrequency}) {
    torch::manual_seed(0);
    auto options = small("mae");
    options.patch_order = order;
    MaskedAutoencoder model(options, DecoderOptions{.dim = 16, .depth = 1, .heads = 2});
    const torch::NoGradGuard no_grad;
    for (const auto& item : model->named_parameters()) {
      if (item.key().find("decoder_blocks") == 0) item.value().zero_();
    }
    const auto noise = torch::rand({2, 250});
    const auto mask = mask_from_noise(noise, options, {.ratio = 0.8});
    predictions.push_back(model->reconstruct(torch::randn({2, 1, 200, 80}), mask));
    const auto second = model->reconstruct(torch::randn({2, 1, 200, 80}), mask);
    const auto equal = (predictions.back() - second).abs().amax(-1).lt(1e-6);
    EXPECT_TRUE(equal.equal(mask));
  }
  EXPECT_LE(test::relative_error(predictions[1], predictions[0]), 1e-5);  // attention does not see the order
}

TEST(WindowAttention, IsAttentionWithABiasOutsideOfWhichNothingIsSeen) {
  torch::manual_seed(0);
  const std::int64_t S = 20, D = 12;
  nn::WindowAttention attention(nn::WindowAttentionOptions{.dim = D, .windows = {5, 0, 10}});
  const torch::NoGradGuard no_grad;
  for (auto& item : attention->named_parameters()) item.value().normal_(0, 0.5);
  const auto p = attention->named_parameters();
  const auto x = torch::randn({2, S, D});
  const auto qkv = torch::linear(x, p["qkv.weight"], p["qkv.bias"]).view({2, S, 3, 3, 4}).permute({2, 0, 3, 1, 4});
  auto bias = torch::zeros({3, S, S});
  for (const auto& [head, window] : {std::pair{0, 5}, {2, 10}}) {
    const auto table = p["attn_heads." + std::to_string(head) + ".relative_position_bias_table"];
    for (std::int64_t i = 0; i < S; ++i) {
      for (std::int64_t j = 0; j < S; ++j) {
        const bool together = i / window == j / window;
        bias[head][i][j] = together ? table[i - j + window - 1][0] : torch::tensor(-INFINITY);
      }
    }
  }
  const auto mixed = ((qkv[0].matmul(qkv[1].transpose(-1, -2)) / 2 + bias).softmax(-1)).matmul(qkv[2]);
  const auto expected = torch::linear(mixed.transpose(1, 2).flatten(-2), p["proj.weight"], p["proj.bias"]);
  EXPECT_LE(test::relative_error(attention->forward(x), expected), 1e-5);
}

TEST(Decoder, WhatDoesNotFitIsNamed) {
  const auto options = encoder_of(Size::kTiny);
  const auto refused = [&](const DecoderOptions& decoder, std::initializer_list<std::string> parts) {
    test::expect_usage_error([&] { checked_windows(decoder, options); }, parts);
  };
  EXPECT_EQ(checked_windows({.windows = kWindows}, options), (std::vector<std::int64_t>{2, 5, 10, 25, 50, 125, 0, 0}));
  refused({.dim = 100}, {"decoder.dim is 100", "decoder.heads 8"});
  refused({.windows = {"2", "5"}}, {"decoder.windows has 2 entries", "8 heads"});
  refused({.heads = 2, .windows = {"2", "3"}}, {"decoder.windows has 3", "250 patches"});
  refused({.heads = 2, .windows = {"2", "all"}}, {"'all'", "global"});
  refused({.heads = 2, .windows = {"2", "-5"}}, {"'-5'"});
  test::expect_usage_error([&] { checked_windows({.windows = kWindows}, encoder_of(Size::kTiny, true)); },
                           {"model.class_token=false"});
}

}  // namespace
}  // namespace axlstm::model
