#include "axlstm/hear/probe.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "axlstm/core/error.h"

namespace axlstm::hear {
namespace {

/// N clips whose largest embedding value tells their class.
ProbeData separable_clips(std::int64_t N, std::int64_t C = 3) {
  const auto classes = torch::arange(N) % C;
  const auto targets = torch::one_hot(classes, C).to(torch::kFloat32);
  return {targets * 4.0 + torch::rand({N, C}), targets};
}

ProbeConfig small_config() {
  ProbeConfig config;
  config.hidden_dim = 16;
  config.lr = 0.05;
  config.max_epochs = 60;
  return config;
}

const ProbeObjective kTop1{PredictionType::kMulticlass, {"top1_acc"}, false};

ProbeFit fit_on(const ProbeConfig& config, const ProbeObjective& objective, const ProbeData& train,
                const ProbeData& valid, std::uint64_t seed = 1) {
  ProbeRandom random(seed, torch::kCPU);
  return fit_probe(config, objective, {train}, valid, random);
}

std::vector<std::pair<std::string, double>> test_on(const ProbeFit& fit, const ProbeConfig& config,
                                                    const ProbeData& test) {
  ProbeRandom random(1, torch::kCPU);
  return test_probe(fit, config, kTop1, test, random);
}

TEST(ProbeTest, LearnsWhatCanBeLearnt) {
  torch::manual_seed(1);
  const ProbeData train = separable_clips(100), valid = separable_clips(30);
  for (const int hidden_layers : {0, 1, 2}) {
    ProbeConfig config = small_config();
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

TEST(ProbeTest, KeepsTheEarliestOfEqualEpochs) {
  torch::manual_seed(1);
  const ProbeData clips = separable_clips(20);
  ProbeConfig config = small_config();
  config.hidden_layers = 0;
  config.lr = 1e-30;  // nothing changes
  EXPECT_EQ(fit_on(config, kTop1, clips, clips).epoch, 2);
}

TEST(ProbeTest, StopsWhenPatienceIsOver) {
  torch::manual_seed(1);
  const ProbeData clips = separable_clips(20);
  ProbeConfig config = small_config();
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
  const ProbeObjective objective{PredictionType::kMultilabel, {"mAP"}, true};
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
  const ProbeObjective objective{PredictionType::kMulticlass, {"d_prime"}, false};
  ProbeData valid = separable_clips(30);
  ProbeConfig late = small_config();
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
  ProbeConfig config = small_config();
  config.batch_size = 10;
  EXPECT_THROW(fit_on(config, kTop1, separable_clips(21), separable_clips(9)), Error);
  config.hidden_layers = 0;
  EXPECT_NO_THROW(fit_on(config, kTop1, separable_clips(21), separable_clips(9)));
}

TEST(ProbeTest, RefusesToTrainWithoutValidation) {
  ProbeConfig config = small_config();
  config.max_epochs = 2;
  EXPECT_THROW(fit_on(config, kTop1, separable_clips(20), separable_clips(9)), Error);
}

}  // namespace
}  // namespace axlstm::hear
