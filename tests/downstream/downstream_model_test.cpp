#include "axlstm/downstream/downstream_model.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "axlstm/core/error.h"

namespace axlstm::downstream {
namespace {

/// N clips whose largest embedding value tells their class.
SplitData separable_clips(std::int64_t N, std::int64_t C = 3) {
  const auto classes = torch::arange(N) % C;
  const auto targets = torch::one_hot(classes, C).to(torch::kFloat32);
  return {targets * 4.0 + torch::rand({N, C}), targets};
}

hear::DownstreamConfig small_config() {
  hear::DownstreamConfig config;
  config.hidden_dim = 16;
  config.lr = 0.05;
  config.max_epochs = 60;
  return config;
}

const DownstreamObjective kTop1{hear::PredictionType::kMulticlass, {"top1_acc"}, false};

DownstreamFit fit_on(const hear::DownstreamConfig& config, const DownstreamObjective& objective, const SplitData& train,
                     const SplitData& valid, std::uint64_t seed = 1) {
  DownstreamRandom random(seed, torch::kCPU);
  return fit_downstream_model(config, objective, {train}, valid, random);
}

std::vector<std::pair<std::string, double>> test_on(const DownstreamFit& fit, const hear::DownstreamConfig& config,
                                                    const SplitData& test) {
  DownstreamRandom random(1, torch::kCPU);
  return test_downstream_model(fit, config, kTop1, test, random).values;
}

TEST(DownstreamModel, LearnsWhatCanBeLearnt) {
  torch::manual_seed(1);
  const SplitData train = separable_clips(100), valid = separable_clips(30);
  for (const int hidden_layers : {0, 1, 2}) {
    hear::DownstreamConfig config = small_config();
    config.hidden_layers = hidden_layers;
    const DownstreamFit fit = fit_on(config, kTop1, train, valid);
    EXPECT_EQ(fit.validation_score, 1.0);
    const auto scores = test_on(fit, config, separable_clips(50));
    ASSERT_EQ(scores.size(), 2U);
    EXPECT_EQ(scores[0].first, "loss");
    EXPECT_EQ(scores[1].first, "top1_acc");
    EXPECT_GT(scores[1].second, 0.9);
  }
}

/// The kit's model with torch's own modules and generator, for what fit_downstream_model computes otherwise: one epoch
/// of one layer and the loss after it.
double loss_after_an_epoch_of_torch(const SplitData& train, const SplitData& valid, double dropout, int hidden_dim) {
  torch::manual_seed(5);
  torch::nn::Linear hidden(train.embeddings.size(1), hidden_dim);
  torch::nn::init::xavier_normal_(hidden->weight, 1.0);
  torch::nn::BatchNorm1d norm(hidden_dim);
  torch::nn::Linear projection(hidden_dim, train.targets.size(1));
  torch::nn::init::xavier_normal_(projection->weight, std::sqrt(2.0));
  torch::rand({64, train.embeddings.size(1)});
  torch::empty({}, torch::kInt64).random_();
  std::vector<torch::Tensor> parameters{hidden->weight, hidden->bias,       norm->weight,
                                        norm->bias,     projection->weight, projection->bias};
  torch::optim::Adam adam(parameters, torch::optim::AdamOptions(1e-2));
  const auto x = torch::dropout(norm(hidden(train.embeddings)), dropout, /*train=*/true).relu();
  torch::cross_entropy_loss(projection(x), train.targets.argmax(1)).backward();
  adam.step();
  norm->eval();
  const torch::NoGradGuard no_grad;
  return torch::cross_entropy_loss(projection(norm(hidden(valid.embeddings)).relu()), valid.targets.argmax(1))
      .item<double>();
}

TEST(DownstreamModel, TrainsAsTorchsModulesDo) {
  torch::set_num_threads(1);
  torch::manual_seed(1);
  const SplitData train = separable_clips(301), valid = separable_clips(60);
  hear::DownstreamConfig config;
  config.lr = 1e-2;
  config.max_epochs = config.check_val_every_n_epoch = 1;
  for (const double dropout : {0.1, 0.25, 0.0}) {
    config.dropout = dropout;
    config.hidden_dim = 37;  // no multiple of a vector's width, and more draws than the generator has numbers at once
    const DownstreamFit fit = fit_on(config, {hear::PredictionType::kMulticlass, {"top1_acc"}, true}, train, valid, 5);
    EXPECT_EQ(fit.validation_score, loss_after_an_epoch_of_torch(train, valid, dropout, 37)) << dropout;
  }
}

TEST(DownstreamModel, KeepsTheEarliestOfEqualEpochs) {
  torch::manual_seed(1);
  const SplitData clips = separable_clips(20);
  hear::DownstreamConfig config = small_config();
  config.hidden_layers = 0;
  config.lr = 1e-30;  // nothing changes
  EXPECT_EQ(fit_on(config, kTop1, clips, clips).epoch, 2);
}

TEST(DownstreamModel, StopsWhenPatienceIsOver) {
  torch::manual_seed(1);
  const SplitData clips = separable_clips(20);
  hear::DownstreamConfig config = small_config();
  config.hidden_layers = 0;
  config.lr = 1e-30;
  config.patience = 2;
  config.max_epochs = 2000000000;  // would take hours
  EXPECT_EQ(fit_on(config, kTop1, clips, clips).epoch, 2);
}

TEST(DownstreamModel, GivesTheSameNumbersForTheSameSeed) {
  const auto loss = [] {
    torch::manual_seed(3);
    const SplitData train = separable_clips(40), valid = separable_clips(20);
    const DownstreamFit fit = fit_on(small_config(), kTop1, train, valid);
    return test_on(fit, small_config(), valid)[0].second;
  };
  EXPECT_EQ(loss(), loss());
}

TEST(DownstreamModel, CanMonitorTheLoss) {
  torch::manual_seed(1);
  const DownstreamObjective objective{hear::PredictionType::kMultilabel, {"mAP"}, true};
  const DownstreamFit fit = fit_on(small_config(), objective, separable_clips(100), separable_clips(30));
  EXPECT_GT(fit.epoch, 2);  // the accuracy is perfect early, the loss still falls
  EXPECT_LT(fit.validation_score, 0.5);
  EXPECT_TRUE(objective.is_better(0.1, 0.2));
  EXPECT_FALSE(kTop1.is_better(0.1, 0.2));
  EXPECT_FALSE(kTop1.is_better(0.2, 0.2));
  EXPECT_FALSE(kTop1.is_better(std::numeric_limits<double>::quiet_NaN(), 0.2));
}

TEST(DownstreamModel, StopsAtOnceWhenTheScoreIsNotFinite) {
  torch::manual_seed(1);
  const DownstreamObjective objective{hear::PredictionType::kMulticlass, {"d_prime"}, false};
  SplitData valid = separable_clips(30);
  hear::DownstreamConfig late = small_config();
  late.check_val_every_n_epoch = 30;
  const DownstreamFit infinite = fit_on(late, objective, separable_clips(100), valid);
  EXPECT_EQ(infinite.epoch, 29);
  EXPECT_EQ(infinite.validation_score, std::numeric_limits<double>::infinity());
  valid.targets.zero_().select(1, 0).fill_(1.0);
  const DownstreamFit none = fit_on(small_config(), objective, separable_clips(100), valid);
  EXPECT_EQ(none.epoch, 2);
  EXPECT_EQ(none.validation_score, -std::numeric_limits<double>::infinity());
}

TEST(DownstreamModel, RefusesABatchOfOneRow) {
  hear::DownstreamConfig config = small_config();
  config.batch_size = 10;
  EXPECT_THROW(fit_on(config, kTop1, separable_clips(21), separable_clips(9)), Error);
  config.hidden_layers = 0;
  EXPECT_NO_THROW(fit_on(config, kTop1, separable_clips(21), separable_clips(9)));
}

TEST(DownstreamModel, RefusesToTrainWithoutValidation) {
  hear::DownstreamConfig config = small_config();
  config.max_epochs = 2;
  EXPECT_THROW(fit_on(config, kTop1, separable_clips(20), separable_clips(9)), Error);
}

}  // namespace
}  // namespace axlstm::downstream
