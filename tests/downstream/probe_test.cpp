#include "axlstm/downstream/probe.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "axlstm/core/error.h"

namespace axlstm::downstream {
namespace {

/// N clips whose largest embedding value tells their class.
ProbeData separable_clips(std::int64_t N, std::int64_t C = 3) {
  const auto classes = torch::arange(N) % C;
  const auto targets = torch::one_hot(classes, C).to(torch::kFloat32);
  return {targets * 4.0 + torch::rand({N, C}), targets};
}

hear::ProbeConfig small_config() {
  hear::ProbeConfig config;
  config.hidden_dim = 16;
  config.lr = 0.05;
  config.max_epochs = 60;
  return config;
}

const ProbeObjective kTop1{hear::PredictionType::kMulticlass, {"top1_acc"}, false};

ProbeFit fit_on(const hear::ProbeConfig& config, const ProbeObjective& objective, const ProbeData& train,
                const ProbeData& valid, std::uint64_t seed = 1) {
  ProbeRandom random(seed, torch::kCPU);
  return fit_probe(config, objective, {train}, valid, random);
}

std::vector<std::pair<std::string, double>> test_on(const ProbeFit& fit, const hear::ProbeConfig& config,
                                                    const ProbeData& test) {
  ProbeRandom random(1, torch::kCPU);
  return test_probe(fit, config, kTop1, test, random).values;
}

TEST(ProbeTest, LearnsWhatCanBeLearnt) {
  torch::manual_seed(1);
  const ProbeData train = separable_clips(100), valid = separable_clips(30);
  for (const int hidden_layers : {0, 1, 2}) {
    hear::ProbeConfig config = small_config();
    config.hidden_layers = hidden_layers;
    const ProbeFit fit = fit_on(config, kTop1, train, valid);
    EXPECT_EQ(fit.validation_score, 1.0);
    const auto scores = test_on(fit, config, separable_clips(50));
    ASSERT_EQ(scores.size(), 2U);
    EXPECT_EQ(scores[0].first, "loss");
    EXPECT_EQ(scores[1].first, "top1_acc");
    EXPECT_GT(scores[1].second, 0.9);
  }
}

/// The kit's model with torch's own modules and generator, for what fit_probe computes otherwise: one epoch of one
/// layer and the loss after it.
double loss_after_an_epoch_of_torch(const ProbeData& train, const ProbeData& valid, double dropout, int hidden_dim) {
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

TEST(ProbeTest, TrainsAsTorchsModulesDo) {
  torch::set_num_threads(1);
  torch::manual_seed(1);
  const ProbeData train = separable_clips(301), valid = separable_clips(60);
  hear::ProbeConfig config;
  config.lr = 1e-2;
  config.max_epochs = config.check_val_every_n_epoch = 1;
  for (const double dropout : {0.1, 0.25, 0.0}) {
    config.dropout = dropout;
    config.hidden_dim = 37;  // no multiple of a vector's width, and more draws than the generator has numbers at once
    const ProbeFit fit = fit_on(config, {hear::PredictionType::kMulticlass, {"top1_acc"}, true}, train, valid, 5);
    EXPECT_EQ(fit.validation_score, loss_after_an_epoch_of_torch(train, valid, dropout, 37)) << dropout;
  }
}

TEST(ProbeTest, KeepsTheEarliestOfEqualEpochs) {
  torch::manual_seed(1);
  const ProbeData clips = separable_clips(20);
  hear::ProbeConfig config = small_config();
  config.hidden_layers = 0;
  config.lr = 1e-30;  // nothing changes
  EXPECT_EQ(fit_on(config, kTop1, clips, clips).epoch, 2);
}

TEST(ProbeTest, StopsWhenPatienceIsOver) {
  torch::manual_seed(1);
  const ProbeData clips = separable_clips(20);
  hear::ProbeConfig config = small_config();
  config.hidden_layers = 0;
  config.lr = 1e-30;
  config.patience = 2;
  config.max_epochs = 2000000000;  // would take hours
  EXPECT_EQ(fit_on(config, kTop1, clips, clips).epoch, 2);
}

TEST(ProbeTest, GivesTheSameNumbersForTheSameSeed) {
  const auto loss = [] {
    torch::manual_seed(3);
    const ProbeData train = separable_clips(40), valid = separable_clips(20);
    const ProbeFit fit = fit_on(small_config(), kTop1, train, valid);
    return test_on(fit, small_config(), valid)[0].second;
  };
  EXPECT_EQ(loss(), loss());
}

TEST(ProbeTest, CanMonitorTheLoss) {
  torch::manual_seed(1);
  const ProbeObjective objective{hear::PredictionType::kMultilabel, {"mAP"}, true};
  const ProbeFit fit = fit_on(small_config(), objective, separable_clips(100), separable_clips(30));
  EXPECT_GT(fit.epoch, 2);  // the accuracy is perfect early, the loss still falls
  EXPECT_LT(fit.validation_score, 0.5);
  EXPECT_TRUE(objective.is_better(0.1, 0.2));
  EXPECT_FALSE(kTop1.is_better(0.1, 0.2));
  EXPECT_FALSE(kTop1.is_better(0.2, 0.2));
  EXPECT_FALSE(kTop1.is_better(std::numeric_limits<double>::quiet_NaN(), 0.2));
}

TEST(ProbeTest, StopsAtOnceWhenTheScoreIsNotFinite) {
  torch::manual_seed(1);
  const ProbeObjective objective{hear::PredictionType::kMulticlass, {"d_prime"}, false};
  ProbeData valid = separable_clips(30);
  hear::ProbeConfig late = small_config();
  late.check_val_every_n_epoch = 30;
  const ProbeFit infinite = fit_on(late, objective, separable_clips(100), valid);
  EXPECT_EQ(infinite.epoch, 29);
  EXPECT_EQ(infinite.validation_score, std::numeric_limits<double>::infinity());
  valid.targets.zero_().select(1, 0).fill_(1.0);
  const ProbeFit none = fit_on(small_config(), objective, separable_clips(100), valid);
  EXPECT_EQ(none.epoch, 2);
  EXPECT_EQ(none.validation_score, -std::numeric_limits<double>::infinity());
}

TEST(ProbeTest, RefusesABatchOfOneRow) {
  hear::ProbeConfig config = small_config();
  config.batch_size = 10;
  EXPECT_THROW(fit_on(config, kTop1, separable_clips(21), separable_clips(9)), Error);
  config.hidden_layers = 0;
  EXPECT_NO_THROW(fit_on(config, kTop1, separable_clips(21), separable_clips(9)));
}

TEST(ProbeTest, RefusesToTrainWithoutValidation) {
  hear::ProbeConfig config = small_config();
  config.max_epochs = 2;
  EXPECT_THROW(fit_on(config, kTop1, separable_clips(20), separable_clips(9)), Error);
}

}  // namespace
}  // namespace axlstm::downstream
