#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/core/error.h"
#include "axlstm/model/masked_model.h"
#include "axlstm/model/masking.h"
#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::model {
namespace {

EncoderOptions custom(const std::string& arch, std::int64_t dim, std::int64_t depth) {
  EncoderOptions options;
  options.arch = arch;
  options.size = Size::kCustom;
  options.dim = dim;
  options.depth = depth;
  if (arch == "ssast") options.attention_heads = 4;
  return resolve(options);
}

struct Count {
  std::string arch;
  Size size;
  std::int64_t expansion, parameters;
};

/// Blocks are alike, so two small models tell how the count grows with the depth; a huge one need not be built.
std::int64_t extrapolated_count(EncoderOptions options) {
  const std::int64_t depth = options.depth;
  options.depth = 1;
  const std::int64_t one = parameter_count(*MaskedModel(options));
  options.depth = 2;
  const std::int64_t two = parameter_count(*MaskedModel(options));
  return one + (depth - 1) * (two - one);
}

class ParameterCount : public testing::TestWithParam<Count> {};

TEST_P(ParameterCount, IsExactlyThePapers) {
  EncoderOptions options;
  options.arch = GetParam().arch;
  options.size = GetParam().size;
  options.expansion = GetParam().expansion;
  options = resolve(options);
  EXPECT_EQ(extrapolated_count(options), GetParam().parameters);
  if (options.size == Size::kTiny) {
    EXPECT_EQ(parameter_count(*MaskedModel(options)), GetParam().parameters);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, ParameterCount,
    testing::Values(Count{"axlstm", Size::kTiny, 2, 2'917'408}, Count{"axlstm", Size::kTiny, 3, 4'343'584},
                    Count{"axlstm", Size::kTiny, 4, 5'769'760}, Count{"axlstm", Size::kSmall, 2, 11'216'800},
                    Count{"axlstm", Size::kSmall, 3, 16'723'360}, Count{"axlstm", Size::kSmall, 4, 22'229'920},
                    Count{"axlstm", Size::kMedium, 2, 19'739'808}, Count{"axlstm", Size::kMedium, 3, 29'441'184},
                    Count{"axlstm", Size::kMedium, 4, 39'142'560}, Count{"axlstm", Size::kBase, 2, 43'962'016},
                    Count{"axlstm", Size::kBase, 3, 65'591'968}, Count{"axlstm", Size::kBase, 4, 87'221'920},
                    Count{"axlstm", Size::kLarge, 2, 154'319'104}, Count{"axlstm", Size::kLarge, 3, 230'873'344},
                    Count{"axlstm", Size::kLarge, 4, 307'427'584}, Count{"axlstm", Size::kHuge, 2, 319'946'560},
                    Count{"axlstm", Size::kHuge, 3, 478'994'240}, Count{"axlstm", Size::kHuge, 4, 638'041'920},
                    Count{"ssam", Size::kTiny, 3, 4'760'512}, Count{"ssam", Size::kSmall, 3, 17'889'088},
                    Count{"ssam", Size::kMedium, 3, 31'290'432}, Count{"ssam", Size::kBase, 3, 69'250'624},
                    Count{"ssam", Size::kLarge, 3, 242'989'120}, Count{"ssam", Size::kHuge, 3, 503'119'424},
                    Count{"ssast", Size::kTiny, 3, 5'401'024}, Count{"ssast", Size::kSmall, 3, 21'492'544},
                    Count{"ssast", Size::kMedium, 3, 38'159'424}, Count{"ssast", Size::kBase, 3, 85'747'264},
                    Count{"ssast", Size::kLarge, 3, 303'495'232}, Count{"ssast", Size::kHuge, 3, 631'488'064}));

class StateDictNames : public testing::TestWithParam<const char*> {};

TEST_P(StateDictNames, AreThoseOfTheReleasedCode) {
  const auto golden = test::load_golden(GetParam());
  auto options = custom(golden.config.at("family") == "ssast" ? "ssast" : "axlstm", 48, golden.config.at("depth"));
  std::vector<std::string> ours, theirs;
  for (const auto& entry : checkpoints::state_dict(*MaskedModel(options))) ours.push_back(entry.first);
  for (const auto& entry : golden.with_prefix("param.")) theirs.push_back(entry.first);
  std::sort(ours.begin(), ours.end());
  EXPECT_EQ(ours, theirs);
}

INSTANTIATE_TEST_SUITE_P(Models, StateDictNames,
                         testing::Values("model_axlstm_e2_flip", "model_axlstm_e3_noflip", "model_ssast"));

void expect_normal(const torch::Tensor& values, double std) {
  const double n = static_cast<double>(values.numel());
  EXPECT_NEAR(values.mean().item<double>(), 0, 5 * std / std::sqrt(n));
  EXPECT_NEAR(values.std().item<double>() / std, 1, 5 / std::sqrt(2 * n));
}

void expect_uniform(const torch::Tensor& values, double bound) {
  EXPECT_LE(values.abs().max().item<double>(), bound * 1.000001);
  EXPECT_GE(values.abs().max().item<double>(), bound * 0.98);
  EXPECT_NEAR(values.std().item<double>() * std::sqrt(3.0) / bound, 1, 0.05);
}

void expect_all(const torch::Tensor& values, float value) { EXPECT_TRUE(values.eq(value).all().item<bool>()); }

TEST(Initialisation, OfAnAxlstmIsThePapers) {
  torch::manual_seed(0);
  EncoderOptions options;
  options.depth = 0;
  options = resolve(options);  // tiny
  options.depth = 2;
  MaskedModel model(options);
  const auto p = model->named_parameters();
  const double D = 192;
  expect_uniform(p["patch_embed.proj.weight"], std::sqrt(6.0 / (64 + 64 * D)));
  EXPECT_NEAR(p["patch_embed.proj.weight"].abs().max().item<double>(), 0.0220, 1e-4);
  expect_all(p["patch_embed.proj.bias"], 0);
  expect_normal(p["cls_token"], 0.02);
  expect_normal(p["mask_token"], 0.02);
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    expect_all(p[block + "norm.weight"], 0);
    const std::string layer = block + "layer.";
    for (const char* name : {"proj_up", "q_proj", "k_proj", "v_proj"})
      expect_normal(p[layer + name + ".weight"], std::sqrt(2 / (5 * D)));
    expect_normal(p[layer + "proj_down.weight"], 2 / std::sqrt(D));
    expect_uniform(p[layer + "conv1d.conv.weight"], 0.5);  // 1/√(kernel 4)
    expect_uniform(p[layer + "conv1d.conv.bias"], 0.5);
    expect_all(p[layer + "learnable_skip"], 1);
    expect_all(p[layer + "mlstm_cell.igate.weight"], 0);
    expect_all(p[layer + "mlstm_cell.fgate.weight"], 0);
    EXPECT_TRUE(p[layer + "mlstm_cell.fgate.bias"].allclose(torch::tensor({3.0F, 4.0F, 5.0F, 6.0F})));
    EXPECT_LT(p[layer + "mlstm_cell.igate.bias"].abs().max().item<double>(), 0.5);
    EXPECT_GT(p[layer + "mlstm_cell.igate.bias"].abs().max().item<double>(), 0.0);
    expect_all(p[layer + "mlstm_cell.outnorm.weight"], 0);
  }
  expect_all(p["encoder_norm.weight"], 1);
  expect_all(p["encoder_norm.bias"], 0);
  for (const char* name : {"pred.0.weight", "pred.2.weight", "pred.0.bias"}) expect_uniform(p[name], 1 / std::sqrt(D));
  EXPECT_FALSE(p.contains("pos_embed"));  // fixed
}

TEST(Initialisation, OfTheTransformerIsXavierUniform) {
  torch::manual_seed(0);
  MaskedModel model(custom("ssast", 96, 1));
  const auto p = model->named_parameters();
  expect_uniform(p["blocks.0.attn.qkv_layer.weight"], std::sqrt(6.0 / (96 + 288)));
  expect_uniform(p["blocks.0.attn.proj_layer.weight"], std::sqrt(6.0 / (96 + 96)));
  expect_uniform(p["blocks.0.mlp.layer1.weight"], std::sqrt(6.0 / (96 + 384)));
  expect_uniform(p["blocks.0.mlp.layer2.weight"], std::sqrt(6.0 / (96 + 384)));
  for (const char* name : {"attn.qkv_layer", "attn.proj_layer", "mlp.layer1", "mlp.layer2"}) {
    expect_all(p[str("blocks.0.", name, ".bias")], 0);
  }
  expect_all(p["blocks.0.norm1.weight"], 1);
}

TEST(Encoder, OnlyOddBlocksOfAFlippedModelRunBackwards) {
  torch::manual_seed(0);
  auto options = custom("axlstm", 16, 1);
  const auto spectrogram = torch::randn({1, 1, 200, 80});
  const auto changes_first_token =
      [&](const EncoderOptions& of) {  // what follows reaches it only through a backward block
        torch::manual_seed(1);
        Encoder encoder(of);
        auto changed = spectrogram.clone();
        changed.slice(2, 196).normal_();
        return !encoder->forward(spectrogram).select(1, 1).equal(encoder->forward(changed).select(1, 1));
      };
  EXPECT_FALSE(changes_first_token(options));
  options.flip = true;
  EXPECT_FALSE(changes_first_token(options));
  options.depth = 2;
  EXPECT_TRUE(changes_first_token(options));
  options.flip = false;
  EXPECT_FALSE(changes_first_token(options));
}

TEST(Encoder, ByFrequencyATokenSeesThoseOfItsFrequencyBeforeAndOfLowerOnes) {
  torch::manual_seed(0);
  auto options = custom("axlstm", 16, 2);
  options.patch_order = PatchOrder::kFrequency;
  Encoder encoder(options);
  const auto spectrogram = torch::randn({1, 1, 200, 80});
  auto changed = spectrogram.clone();
  const std::int64_t row = 20, column = 2;
  changed.slice(2, row * 4, row * 4 + 4).slice(3, column * 16, column * 16 + 16).normal_();
  const auto difference = (encoder->forward(spectrogram) - encoder->forward(changed)).abs().amax(-1)[0].slice(0, 1);
  const auto sees = difference.view({options.grid_rows(), options.grid_columns()}).gt(0);
  auto expected = torch::zeros({options.grid_rows(), options.grid_columns()}, torch::kBool);
  expected.slice(1, column + 1).fill_(true);
  expected.select(1, column).slice(0, row).fill_(true);
  EXPECT_TRUE(sees.equal(expected));
}

TEST(Encoder, AttentionAloneDoesNotSeeTheOrder) {
  auto options = custom("ssast", 32, 2);
  const auto spectrogram = torch::randn({2, 1, 200, 80});
  const auto encode = [&](PatchOrder order) {
    options.patch_order = order;
    torch::manual_seed(1);
    return Encoder(options)->forward(spectrogram);
  };
  EXPECT_LE(test::relative_error(encode(PatchOrder::kFrequency), encode(PatchOrder::kTime)), 1e-5);
}

TEST(Encoder, WhatIsBehindTheMaskDoesNotReachTheOutput) {
  torch::manual_seed(0);
  for (const char* arch : {"axlstm", "ssast"}) {
    auto options = custom(arch, 32, 2);
    options.patch_order = arch == std::string("axlstm") ? PatchOrder::kFrequency : PatchOrder::kTime;
    MaskedModel model(options);
    const auto spectrogram = torch::randn({2, 1, 200, 80});
    const auto mask = mask_from_noise(torch::rand({2, 250}), options, {});
    auto patches = nn::patchify(spectrogram, 4, 16);
    patches = torch::where(mask.unsqueeze(-1), torch::randn_like(patches) * 100, patches);
    const auto changed = nn::unpatchify(patches, 4, 16, 80);
    EXPECT_TRUE(model->reconstruct(spectrogram, mask).equal(model->reconstruct(changed, mask)));
    EXPECT_FALSE(model->forward(spectrogram).equal(model->forward(changed)));
  }
}

TEST(MaskedModel, TheLossIsThatOfTheWholeReconstruction) {
  for (const char* arch : {"axlstm", "ssast"}) {
    for (const MaskMode mode : {MaskMode::kUnstructured, MaskMode::kTimestep}) {
      for (const LossRegion region : {LossRegion::kMasked, LossRegion::kAll}) {
        torch::manual_seed(3);
        auto options = custom(arch, 32, 2);
        options.patch_order = mode == MaskMode::kTimestep ? PatchOrder::kFrequency : PatchOrder::kTime;
        const MaskOptions mask_options{0.3, mode};
        const LossOptions loss_options{region, /*normalize_targets=*/true};
        MaskedModel model(options);
        const auto spectrogram = torch::randn({3, 1, 200, 80});
        const auto noise = draw_mask_noise(3, options, mask_options, at::detail::getDefaultCPUGenerator());
        const auto gradients = [&](const torch::Tensor& loss) {
          model->zero_grad();
          loss.backward();
          std::vector<torch::Tensor> all;
          for (const auto& parameter : model->parameters()) all.push_back(parameter.grad().flatten());
          return torch::cat(all);
        };
        const auto mask = mask_from_noise(noise, options, mask_options);
        const auto whole = reconstruction_loss(model->reconstruct(spectrogram, mask),
                                               reconstruction_target(spectrogram, options, loss_options), mask, region);
        const auto expected = gradients(whole);
        const auto loss = model->loss(spectrogram, noise, mask_options, loss_options);
        EXPECT_NEAR(loss.item<double>(), whole.item<double>(), 1e-6);
        EXPECT_LT((gradients(loss) - expected).norm().item<double>(), 1e-5 * expected.norm().item<double>());
      }
    }
  }
}

TEST(Masking, RowsAreTheHiddenPatches) {
  const auto options = custom("axlstm", 16, 1);
  for (const MaskMode mode : {MaskMode::kUnstructured, MaskMode::kTimestep}) {
    for (const double ratio : {0.5, 0.8, 0.33}) {
      const MaskOptions mask_options{ratio, mode};
      const auto noise = draw_mask_noise(4, options, mask_options, at::detail::getDefaultCPUGenerator());
      const auto mask = mask_from_noise(noise, options, mask_options);
      const auto rows = masked_rows(mask, masked_patches(options, mask_options));
      EXPECT_TRUE(std::get<0>(rows.sort()).equal(mask.flatten().nonzero().flatten())) << ratio;
    }
  }
}

TEST(Encoder, ShapesThatDoNotFitAreNamed) {
  Encoder encoder(custom("axlstm", 16, 1));
  for (const auto& sizes :
       std::vector<std::vector<std::int64_t>>{{1, 200, 80}, {1, 1, 199, 80}, {1, 1, 200, 64}, {1, 2, 200, 80}}) {
    test::expect_error([&] { encoder->forward(torch::zeros(sizes)); }, {"[batch, 1, 200, 80]"});
  }
  MaskedModel model(custom("axlstm", 16, 1));
  test::expect_error(
      [&] {
        model->reconstruct(torch::zeros({2, 1, 200, 80}), torch::zeros({2, 249}, torch::kBool));
      },
      {"mask", "[2, 250]"});
  EXPECT_EQ(encoder->forward(torch::zeros({2, 1, 200, 80})).sizes(), (std::vector<std::int64_t>{2, 251, 16}));
}

TEST(ReconstructionTarget, IsThePatchesEachNormalisedIfAsked) {
  torch::manual_seed(0);
  const auto options = custom("axlstm", 16, 1);
  const auto spectrogram = torch::randn({2, 1, 200, 80}) * 3 + 1;
  const auto patches = nn::patchify(spectrogram, 4, 16);
  EXPECT_TRUE(reconstruction_target(spectrogram, options, {}).equal(patches));
  const auto normalised =
      reconstruction_target(spectrogram, options, {.region = LossRegion::kMasked, .normalize_targets = true});
  double mean = 0, squares = 0;
  for (std::int64_t pixel = 0; pixel < 64; ++pixel) mean += patches[1][7][pixel].item<double>() / 64;
  for (std::int64_t pixel = 0; pixel < 64; ++pixel) squares += std::pow(patches[1][7][pixel].item<double>() - mean, 2);
  const double expected = (patches[1][7][5].item<double>() - mean) / std::sqrt(squares / 63 + 1e-6);
  EXPECT_NEAR(normalised[1][7][5].item<double>(), expected, 1e-5);
}

TEST(ReconstructionLoss, CountsTheRegionAsked) {
  const auto prediction = torch::tensor({{{1.0F, 2.0F}, {0.0F, 0.0F}, {5.0F, 5.0F}}});  // [1, 3, 2]
  const auto target = torch::tensor({{{0.0F, 0.0F}, {1.0F, 1.0F}, {5.0F, 8.0F}}});
  const auto mask = torch::tensor({{true, false, true}});
  // Per patch: 2.5, 1, 4.5.
  EXPECT_FLOAT_EQ(reconstruction_loss(prediction, target, mask, LossRegion::kMasked).item<float>(), 3.5F);
  EXPECT_FLOAT_EQ(reconstruction_loss(prediction, target, mask, LossRegion::kAll).item<float>(), 8.0F / 3);
}

/// Shows the parts of an encoder.
class OpenEncoder : public EncoderImpl {
 public:
  using EncoderImpl::EncoderImpl;
  using EncoderImpl::hidden;
  using EncoderImpl::normed;
  using EncoderImpl::patches;
};

TEST(CarriedState, ChunksInTurnAreOneLongSequence) {
  const torch::NoGradGuard no_grad;
  for (const bool class_token : {true, false}) {
    auto options = custom("axlstm", 16, 3);
    options.frames = 40;
    options.class_token = class_token;
    const auto encoder = [&](ops::Backend backend) {
      options.backend = backend;
      auto made = std::make_shared<OpenEncoder>(options);
      torch::manual_seed(5);
      for (auto& parameter : made->parameters()) parameter.normal_(0, 0.3);
      made->to(torch::kFloat64);
      return made;
    };
    const auto carried = encoder(ops::Backend::kAuto), recurrent = encoder(ops::Backend::kRecurrent);
    std::vector<torch::Tensor> chunks, seen, tokens;
    for (int n = 0; n < 3; ++n) chunks.push_back(torch::randn({2, 1, 40, 80}, torch::kFloat64));
    for (const auto& chunk : chunks) seen.push_back(recurrent->patches(chunk));
    const auto whole = recurrent->normed(recurrent->hidden(torch::cat(seen, 1))).slice(1, class_token ? 1 : 0);
    EncoderState state;
    std::vector<std::int64_t> sizes;
    for (const auto& chunk : chunks) {
      tokens.push_back(carried->forward_carried(chunk, state));
      std::int64_t size = 0;
      for (const auto& block : state)
        for (const auto& tensor : block) size += tensor.numel();
      sizes.push_back(size);
    }
    EXPECT_LE(test::relative_error(torch::cat(tokens, 1), whole), 1e-10);
    EXPECT_EQ(sizes, std::vector(3, sizes.front()));
    EXPECT_LE(test::relative_error(tokens[0], carried->forward(chunks[0]).slice(1, class_token ? 1 : 0)), 1e-10);
    EXPECT_GT(test::relative_error(tokens[1], carried->forward(chunks[1]).slice(1, class_token ? 1 : 0)), 1e-3);
  }
}

TEST(CarriedState, IsOfBlocksThatLookBackOnly) {
  auto flipped = custom("axlstm", 16, 2);
  flipped.flip = true;
  for (const auto& options : {flipped, custom("ssast", 16, 2), custom("ssam", 16, 2)}) {
    Encoder encoder(options);
    EXPECT_FALSE(encoder->carries()) << options.arch;
    EncoderState state;
    EXPECT_THROW(encoder->forward_carried(torch::randn({1, 1, 200, 80}), state), Error) << options.arch;
  }
}

}  // namespace
}  // namespace axlstm::model
