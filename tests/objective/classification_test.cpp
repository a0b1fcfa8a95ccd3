#include "axlstm/objective/classification.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "axlstm/config/config.h"
#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::objective {
namespace {

config::RunConfig recipe(const std::string& more, const std::string& model = "arch: axlstm") {
  return config::read(config::parse(
      "objective: {name: classification}\nmodel: {size: custom, dim: 16, depth: 2, " + model + "}\n" + more, "test"));
}

constexpr const char* kThree = "head: {classes: [a, b, c]}\n";

/// Clips 0, 1 and 2 have the classes a, b and c.
data::Batch batch_of(std::vector<std::int64_t> clips) {
  auto classes = std::make_shared<data::ClipClasses>();
  for (const std::int64_t c : {0, 1, 2}) classes->add({c});
  const auto size = static_cast<std::int64_t>(clips.size());
  return {torch::randn({size, 1, 200, 80}), std::move(clips), std::move(classes)};
}

torch::Tensor drawn_by(const Classification& objective, std::int64_t clips) {
  return objective.draw(clips, at::make_generator<at::CPUGeneratorImpl>(7));
}

TEST(ClassificationLoss, SoftmaxByHand) {
  const auto logits = torch::tensor({{1.0, 2.0, 0.5}, {0.0, -1.0, 3.0}});
  const auto targets = torch::tensor({{0.0, 1.0, 0.0}, {0.3, 0.0, 0.7}});
  double sum = 0;
  for (int n = 0; n < 2; ++n) {
    double total = 0;
    for (int c = 0; c < 3; ++c) total += std::exp(logits[n][c].item<double>());
    for (int c = 0; c < 3; ++c) sum -= targets[n][c].item<double>() * (logits[n][c].item<double>() - std::log(total));
  }
  EXPECT_NEAR(softmax_loss(logits, targets).item<double>(), sum / 2, 1e-6);
}

TEST(ClassificationLoss, SigmoidByHand) {
  const auto logits = torch::tensor({{1.0, -2.0}, {0.5, 4.0}}), targets = torch::tensor({{1.0, 0.0}, {0.25, 1.0}});
  double sum = 0;
  for (int n = 0; n < 2; ++n) {
    for (int c = 0; c < 2; ++c) {
      const double p = 1 / (1 + std::exp(-logits[n][c].item<double>())), t = targets[n][c].item<double>();
      sum -= t * std::log(p) + (1 - t) * std::log(1 - p);
    }
  }
  EXPECT_NEAR(sigmoid_loss(logits, targets).item<double>(), sum / 4, 1e-6);
}

TEST(ClassificationLoss, SmoothingSpreadsPartOfTheTarget) {
  const auto smooth = smoothed(torch::tensor({{1.0, 0.0, 0.0, 0.0}}), 0.1);
  EXPECT_TRUE(smooth.allclose(torch::tensor({{0.925, 0.025, 0.025, 0.025}})));
}

TEST(ClassificationTargets, AreOneForTheClasses) {
  data::ClipClasses classes;
  classes.add({1});
  classes.add({2, 0});
  EXPECT_TRUE(
      targets_of(classes, {1, -1, 0}, 3).equal(torch::tensor({{1.F, 0.F, 1.F}, {0.F, 0.F, 0.F}, {0.F, 1.F, 0.F}})));
  test::expect_error([&] { targets_of(classes, {2}, 3); }, {"clip 2", "2 whose classes are known"});
}

TEST(ClassificationObjective, TheLossOfABatchIsTheMeanOfThoseOfItsParts) {
  for (const char* model : {"arch: axlstm", "arch: ssam", "arch: ssast, attention_heads: 2",
                            "arch: mae, attention_heads: 2, class_token: false"}) {
    for (const char* targets : {"multiclass", "multilabel"}) {
      torch::manual_seed(1);
      Classification objective(recipe(
          str("head: {classes: [a, b, c], hidden: 8, norm: true, dropout: 0.3}\nclassification: {targets: ", targets,
              ", frequency_mask: 20, time_mask: 50, time_roll: 10, drop_path: 0.5}\n"),
          model));
      const torch::NoGradGuard no_grad;
      auto batch = batch_of({0, 1, 2, 0, 1, 2});
      batch.share = torch::tensor({0.3F, 1.0F, 0.5F, 0.9F, 1.0F, 0.2F});
      batch.mixed_in = {1, -1, 0, 0, -1, 2};
      const auto drawn = drawn_by(objective, 6);
      auto sum = torch::zeros({});
      for (const auto& [first, count] : {std::pair{0, 1}, {1, 2}, {3, 3}})
        sum += count * objective.loss(batch.narrow(first, count), drawn.narrow(0, first, count));
      EXPECT_LE(test::relative_error(sum / 6, objective.loss(batch, drawn)), 1e-5) << model << targets;
    }
  }
}

TEST(ClassificationObjective, MixedLabelsCountByTheirShares) {
  torch::manual_seed(1);
  Classification objective(recipe(kThree));
  const torch::NoGradGuard no_grad;
  auto batch = batch_of({0});
  const auto drawn = drawn_by(objective, 1);
  const double a = objective.loss(batch, drawn).item<double>();
  batch.clips = {2};
  const double c = objective.loss(batch, drawn).item<double>();
  batch.clips = {0};
  batch.share = torch::tensor({0.25F});
  batch.mixed_in = {2};
  EXPECT_NEAR(objective.loss(batch, drawn).item<double>(), 0.25 * a + 0.75 * c, 1e-6);
}

TEST(ClassificationObjective, PoolsWhatItIsTold) {
  torch::manual_seed(1);
  for (const auto& [pooling, width] : {std::pair{"mean", 16}, {"class_token", 16}, {"both", 32}}) {
    Classification objective(recipe(str("head: {classes: [a, b, c], pooling: ", pooling, "}\n")));
    EXPECT_EQ(objective.module().named_parameters()["head.0.weight"].sizes(), (std::vector<std::int64_t>{3, width}));
  }
  Classification fresh(recipe(kThree));
  EXPECT_TRUE(fresh.module().named_parameters()["head.0.bias"].equal(torch::zeros({3})));
  test::expect_usage_error(
      [] { recipe("head: {pooling: both}\n", "arch: mae, attention_heads: 2, class_token: false"); },
      {"head.pooling is both", "class token"});
}

TEST(ClassificationObjective, MeanPoolingIsTheMeanOfTheEncodersTokens) {
  torch::manual_seed(1);
  Classification objective(recipe(kThree));
  const torch::NoGradGuard no_grad;
  const auto batch = batch_of({0, 1});
  const auto mean = objective.encoder()->forward(batch.spectrogram).narrow(1, 1, 250).mean(1);
  const auto parameters = objective.module().named_parameters();
  const auto expected = torch::linear(mean, parameters["head.0.weight"], parameters["head.0.bias"]);
  EXPECT_LE(test::relative_error(objective.logits(batch.spectrogram), expected), 1e-5);
}

/// 50 time steps of 5 tokens, which stay apart.
TEST(ClassificationObjective, TimeMeanPoolingKeepsFrequenciesApart) {
  torch::manual_seed(1);
  Classification objective(recipe("head: {classes: [a, b, c], pooling: time_mean}\n"));
  const torch::NoGradGuard no_grad;
  const auto batch = batch_of({0, 1});
  const auto tokens = objective.encoder()->forward(batch.spectrogram).narrow(1, 1, 250);
  std::vector<torch::Tensor> of_frequencies;
  for (int frequency = 0; frequency < 5; ++frequency)
    of_frequencies.push_back(tokens.slice(1, frequency, 250, 5).mean(1));
  const auto parameters = objective.module().named_parameters();
  ASSERT_EQ(parameters["head.0.weight"].size(1), 5 * 16);
  const auto expected =
      torch::linear(torch::cat(of_frequencies, 1), parameters["head.0.weight"], parameters["head.0.bias"]);
  EXPECT_LE(test::relative_error(objective.logits(batch.spectrogram), expected), 1e-5);
}

TEST(ClassificationObjective, WindowsAreSeenByThemselvesAndAveraged) {
  torch::manual_seed(1);
  Classification objective(recipe("head: {classes: [a, b, c], windows: 3}\n"));
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(objective.crop_frames(), 600);
  const auto crops = torch::randn({2, 1, 600, 80});
  auto sum = torch::zeros({2, 16});
  for (int window = 0; window < 3; ++window)
    sum += objective.encoder()->forward(crops.narrow(2, 200 * window, 200)).narrow(1, 1, 250).mean(1);
  const auto parameters = objective.module().named_parameters();
  const auto expected = torch::linear(sum / 3, parameters["head.0.weight"], parameters["head.0.bias"]);
  EXPECT_LE(test::relative_error(objective.logits(crops), expected), 1e-5);
  test::expect_error([&] { objective.logits(torch::randn({2, 1, 200, 80})); }, {"600", "200"});
}

TEST(ClassificationObjective, AFrozenEncoderGetsNoGradients) {
  Classification objective(recipe("head: {classes: [a, b, c]}\nclassification: {train: head, encoder: somewhere}\n"));
  auto batch = batch_of({0, 1});
  objective.loss(batch, drawn_by(objective, 2)).backward();
  for (const auto& item : objective.module().named_parameters())
    EXPECT_EQ(item.value().grad().defined(), item.key().starts_with("head.")) << item.key();
  EXPECT_EQ(objective.backward_flops(), 0);
}

TEST(ClassificationObjective, DropPathLeavesOutTheLastBlockAtLast) {
  // With rate r → 1 the second of two blocks is nearly always left out: the logits are those of the first one alone.
  for (const char* model : {"arch: axlstm", "arch: ssam", "arch: ssast, attention_heads: 2"}) {
    torch::manual_seed(1);
    Classification objective(recipe("head: {classes: [a, b]}\nclassification: {drop_path: 0.999}\n", model));
    torch::manual_seed(1);
    Classification plain(recipe("head: {classes: [a, b]}\n", model));
    const torch::NoGradGuard no_grad;
    for (auto& item : plain.module().named_parameters())  // a block that adds nothing
      if (item.key().starts_with("blocks.1.") &&
          (item.key().find("proj_down") != std::string::npos || item.key().find("out_proj") != std::string::npos ||
           item.key().find("proj_layer") != std::string::npos || item.key().find("layer2") != std::string::npos))
        item.value().zero_();
    const auto batch = batch_of({0, 1, 1});
    auto drawn = drawn_by(objective, 3);
    drawn.narrow(1, 5, drawn.size(1) - 5).fill_(0.5);  // left out where p > 0.5
    auto plain_drawn = drawn_by(plain, 3);
    EXPECT_LE(test::relative_error(objective.loss(batch, drawn), plain.loss(batch, plain_drawn)), 1e-5) << model;
  }
}

TEST(ClassificationObjective, ClassesThatAreNotKnownAreAnError) {
  test::expect_usage_error([] { Classification(recipe("")); }, {"head.classes is empty"});
}

TEST(InterpolatedPositions, StretchAlongTimeAndKeepTheClassToken) {
  model::EncoderOptions options;
  options.size = model::Size::kCustom;
  options.dim = 4;
  options.depth = 1;
  options.frames = 16;  // 4 rows of 5 columns, out of 2
  auto positions = torch::zeros({1, 1 + 2 * 5, 4});
  positions[0][0] = 7;
  positions.narrow(1, 1 + 5, 5).fill_(1);  // rows 0 and 1
  const auto stretched = model::interpolated_positions(positions, 2, options);
  ASSERT_EQ(stretched.sizes(), (std::vector<std::int64_t>{1, 1 + 4 * 5, 4}));
  EXPECT_TRUE(stretched[0][0].equal(torch::full({4}, 7.0F)));
  // Row n of 4 lies at (n + 0.5) / 2 − 0.5 of the old ones: −0.25 (held at 0), 0.25, 0.75, 1.25 (held at 1).
  const std::vector<double> expected{0, 0.25, 0.75, 1};
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 5; ++column)
      EXPECT_NEAR(stretched[0][1 + row * 5 + column][0].item<double>(), expected[static_cast<std::size_t>(row)], 1e-6);
  test::expect_error([&] { model::interpolated_positions(positions, 3, options); }, {"not those of 3×5"});
}

}  // namespace
}  // namespace axlstm::objective
