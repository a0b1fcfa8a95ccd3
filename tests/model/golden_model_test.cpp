// Every golden model: outputs, losses, gradients, features, and a short training.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/embed/embedder.h"
#include "axlstm/model/masked_autoencoder.h"
#include "axlstm/model/masked_model.h"
#include "axlstm/model/masking.h"
#include "axlstm/train/trainer.h"
#include "model/golden_options.h"
#include "support/golden.h"

namespace axlstm::model {
namespace {

constexpr double kOutputLimit = 1e-4;
constexpr double kGradientLimit = 5e-4, kGradientOffset = 1e-7;

class GoldenModel : public testing::TestWithParam<const char*> {};

TEST_P(GoldenModel, OutputsLossesGradients) {
  const auto golden = test::load_golden(GetParam());
  const auto options = test::options_of(golden.config);
  MaskedModel model(options);
  EXPECT_EQ(parameter_count(*model), golden.config.at("parameters").get<std::int64_t>());
  const auto positions = model->named_buffers()["pos_embed"].clone();
  test::expect_golden(GetParam(), "positions (absolute)", test::absolute_error(positions, golden["param.pos_embed"]),
                      1e-5);
  checkpoints::load_state_dict(*model, golden.with_prefix("param."), GetParam());

  const MaskOptions mask_options{.ratio = golden.config.at("mask_ratio")};
  const auto spectrogram = golden["in.spectrogram"];
  const auto mask = mask_from_noise(golden["in.mask_noise"], options, mask_options);
  EXPECT_TRUE(mask.to(torch::kFloat32).equal(golden["out.mask"]));
  const auto target = reconstruction_target(spectrogram, options, {});
  EXPECT_TRUE(target.equal(golden["out.target"]));
  const auto prediction = model->reconstruct(spectrogram, mask);
  const auto masked = reconstruction_loss(prediction, target, mask, LossRegion::kMasked);
  const auto all = reconstruction_loss(prediction, target, mask, LossRegion::kAll);
  test::expect_golden(GetParam(), "prediction", test::relative_error(prediction, golden["out.pred"]), kOutputLimit);
  test::expect_golden(GetParam(), "losses", test::relative_error(masked, golden["out.loss_masked"]), kOutputLimit);
  test::expect_golden(GetParam(), "losses", test::relative_error(all, golden["out.loss_all"]), kOutputLimit);

  masked.backward();
  const auto parameters = model->named_parameters();
  for (const auto& [name, expected] : golden.with_prefix("grad.")) {
    // Some gate biases' gradients cancel to almost nothing: the absolute part is what rounding leaves of them.
    const double scale = expected.abs().max().item<double>();
    const double error =
        test::absolute_error(parameters[name].grad(), expected) / (kGradientLimit * scale + kGradientOffset);
    test::expect_golden(GetParam(), "gradients / allowed", error, 1.0);
  }

  const torch::NoGradGuard no_grad;
  const auto tokens = model->forward(spectrogram).narrow(1, 1, options.patches());
  test::expect_golden(GetParam(), "tokens", test::relative_error(tokens, golden["out.tokens"]), kOutputLimit);
  const auto ours = embed::arrange_tokens(tokens, options, embed::EmbeddingLayout::kTimeFrequency);
  const auto released = embed::arrange_tokens(tokens, options, embed::EmbeddingLayout::kReleased);
  test::expect_golden(GetParam(), "features", test::relative_error(ours, golden["out.features"]), kOutputLimit);
  test::expect_golden(GetParam(), "features, released", test::relative_error(released, golden["out.features_official"]),
                      kOutputLimit);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModel,
                         testing::Values("model_axlstm_e2_flip", "model_axlstm_e3_noflip", "model_axlstm_e3_patch8x16",
                                         "model_ssast", "ssam_model_d32", "ssam_model_d48_n16_e2_patch8x16"));

class GoldenAutoencoder : public testing::TestWithParam<const char*> {};

TEST_P(GoldenAutoencoder, OutputsLossesGradients) {
  const auto golden = test::load_golden(GetParam());
  const auto options = test::options_of(golden.config);
  MaskedAutoencoder model(options, test::decoder_of(golden.config));
  checkpoints::load_state_dict(*model, golden.with_prefix("param."), GetParam());
  const MaskOptions mask_options{.ratio = golden.config.at("mask_ratio")};
  const auto spectrogram = golden["in.spectrogram"];
  const auto mask = mask_from_noise(golden["in.mask_noise"], options, mask_options);
  EXPECT_TRUE(mask.to(torch::kFloat32).equal(golden["out.mask"]));
  EXPECT_TRUE(reconstruction_target(spectrogram, options, {}).equal(golden["out.target"]));
  test::expect_golden(GetParam(), "prediction",
                      test::relative_error(model->reconstruct(spectrogram, mask), golden["out.pred"]), kOutputLimit);
  const auto loss = [&](bool normalised) {
    return model->loss(spectrogram, golden["in.mask_noise"], mask_options, {.normalize_targets = normalised}).view(1);
  };
  const auto masked = loss(false);
  test::expect_golden(GetParam(), "losses", test::relative_error(masked, golden["out.loss_masked"]), kOutputLimit);
  test::expect_golden(GetParam(), "losses",
                      test::relative_error(loss(true), golden["out.loss_masked_normalised_targets"]), kOutputLimit);
  masked.backward();
  const auto parameters = model->named_parameters();
  for (const auto& [name, expected] : golden.with_prefix("grad.")) {
    const double scale = expected.abs().max().item<double>();
    const double error =
        test::absolute_error(parameters[name].grad(), expected) / (kGradientLimit * scale + kGradientOffset);
    test::expect_golden(GetParam(), "gradients / allowed", error, 1.0);
  }
  const torch::NoGradGuard no_grad;
  const auto tokens = model->forward(spectrogram).narrow(1, options.class_tokens(), options.patches());
  const auto features = embed::arrange_tokens(tokens, options, embed::EmbeddingLayout::kTimeFrequency);
  test::expect_golden(GetParam(), "features", test::relative_error(features, golden["out.features"]), kOutputLimit);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenAutoencoder, testing::Values("mwmae_model_d32", "mwmae_plain_d32"));

class GoldenTraining : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTraining, EveryStepAndTheFinalWeights) {
  const char* const kName = GetParam();
  const auto golden = test::load_golden(kName);
  const auto& config = golden.config;
  config::RunConfig spec;
  spec.model = test::options_of(config);
  spec.optim.global_batch = 256;  // base_lr is then the peak itself
  spec.optim.base_lr = config.at("base_lr");
  spec.optim.epochs = config.at("epochs");
  spec.optim.warmup_epochs = config.at("warmup_epochs");
  spec.optim.weight_decay = config.at("weight_decay");
  spec.optim.decay_A_log = config.value("decay_a_log", true);
  if (config.value("loss", "masked") == "all") spec.loss.region = LossRegion::kAll;
  if (spec.model.arch == "mae") {
    spec.objective = objective::Kind::kMaskedAutoencoder;
    spec.decoder = test::decoder_of(config);
    spec.mask.ratio = config.at("mask_ratio");
    spec.optim.beta2 = config.at("betas").at(1);
    spec.optim.decay = train::Decay::kAll;
  }
  // Step 15 is ill-conditioned: the stored float32 norm is 5e-4 from that of the same training in float64.
  const double steps_per_epoch = config.at("steps_per_epoch");
  const auto objective = objective::make_objective(spec);
  auto& model = objective->module();
  checkpoints::load_state_dict(model, golden.with_prefix("param."), kName);
  train::AdamW optimizer(model, spec.optim);
  const train::StepSetup setup{*objective, optimizer, {runtime::Precision::kFp32, torch::kCPU}, spec};
  const std::int64_t steps = golden["out.loss"].size(0);
  for (std::int64_t step = 0; step < steps; ++step) {
    const double lr = train::learning_rate(spec.optim, static_cast<double>(step) / steps_per_epoch);
    const auto result = train::training_step(setup, {golden["in.spectrogram"][step].to(torch::kFloat32), {}, {}},
                                             golden["in.mask_noise"][step], lr);
    const auto relative = [&](double actual, const char* name) {
      const double expected = golden[name][step].item<double>();
      return std::abs(actual - expected) / std::max(std::abs(expected), 1e-12);
    };
    test::expect_golden(kName, "loss", relative(result.loss, "out.loss"), 1e-4);
    // Steps amplify rounding: 8e-5 to 1.1e-3 were seen, by processor and number of threads.
    test::expect_golden(kName, "gradient norm", relative(result.grad_norm, "out.grad_norm"), 5e-3);
    // JAX computes it in float32.
    test::expect_golden(kName, "learning rate", relative(lr, "out.lr"), spec.model.arch == "mae" ? 1e-5 : 1e-12);
  }
  const auto parameters = model.named_parameters();
  for (const auto& [name, expected] : golden.with_prefix("final.")) {
    auto actual = parameters[name].detach(), wanted = expected;
    if (name.ends_with("qkv.bias") || name.ends_with("qkv_layer.bias")) {
      // Softmax does not see what k's bias adds: its true gradient is 0, and AdamW makes steps of what rounding leaves.
      const auto without_k = [](const torch::Tensor& x) { return torch::stack({x.chunk(3)[0], x.chunk(3)[2]}); };
      actual = without_k(actual), wanted = without_k(wanted);
    }
    test::expect_golden(kName, "final weights", test::relative_error(actual, wanted), 5e-3);
  }
}

INSTANTIATE_TEST_SUITE_P(Trainings, GoldenTraining,
                         testing::Values("train_axlstm", "ssam_train_d32", "ssam_train_d16_all_nodecay",
                                         "mwmae_train_d32"));

}  // namespace
}  // namespace axlstm::model
