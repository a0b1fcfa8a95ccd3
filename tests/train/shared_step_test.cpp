// Ranks as threads of one process: the step that they make together.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "axlstm/train/step.h"
#include "distributed/ranks.h"
#include "support/golden.h"

namespace axlstm::train {
namespace {

using Gradients = std::map<std::string, torch::Tensor>;

struct Outcome {
  StepResult result;
  Gradients gradients;
};

Gradients gradients_of(const torch::nn::Module& module) {
  Gradients gradients;
  for (const auto& item : module.named_parameters()) gradients[item.key()] = item.value().grad().clone();
  return gradients;
}

class SharedStepTest : public testing::Test {
 protected:
  SharedStepTest() {
    spec_.model.size = model::Size::kCustom;
    spec_.model.dim = 16;
    spec_.model.depth = 2;
    spec_.model = model::resolve(spec_.model);
    spec_.optim.global_batch = 7;
    torch::manual_seed(0);
    spectrogram_ = torch::randn({7, 1, 200, 80});
    noise_ = torch::rand({7, 250});
  }

  std::unique_ptr<objective::Objective> new_model() const {
    torch::manual_seed(1);
    return objective::make_objective(spec_);
  }

  Outcome alone() const {
    const auto model = new_model();
    AdamW optimizer(model->module(), spec_.optim);
    const runtime::Arithmetic arithmetic(spec_.train.precision, torch::kCPU);
    const auto result = training_step({*model, optimizer, arithmetic, spec_}, {spectrogram_, {}, {}}, noise_, 1e-3);
    return {result, gradients_of(model->module())};
  }

  /// The step by ranks that take `parts` clips of the batch.
  std::vector<Outcome> together(const std::vector<std::int64_t>& parts, std::int64_t who_stops = -1) const {
    std::vector<std::unique_ptr<objective::Objective>>
        models;  // made one after the other: they draw from one generator
    for (std::size_t n = 0; n < parts.size(); ++n) models.push_back(new_model());
    std::vector<Outcome> outcomes(parts.size());
    test::run_ranks(static_cast<std::int64_t>(parts.size()), [&](distributed::ProcessGroup& group) {
      const auto rank = static_cast<std::size_t>(group.rank());
      std::int64_t first = 0;
      for (std::size_t n = 0; n < rank; ++n) first += parts[n];
      auto& model = models[rank]->module();
      AdamW optimizer(model, spec_.optim);
      distributed::GradientReducer reducer(model, group, spec_.distributed);
      Ranks ranks{group, reducer};
      const StepSetup setup{*models[rank], optimizer, {spec_.train.precision, torch::kCPU}, spec_, nullptr, &ranks};
      const data::Batch part{spectrogram_.narrow(0, first, parts[rank]), {}, {}};
      for (int repeat = 0; repeat < 2; ++repeat) {  // a second time, with buckets that are in use already
        outcomes[rank].result = training_step(setup, part, noise_.narrow(0, first, parts[rank]),
                                              repeat == 0 ? 0.0 : 1e-3, group.rank() == who_stops);
      }
      outcomes[rank].gradients = gradients_of(model);
    });
    return outcomes;
  }

  config::RunConfig spec_;
  torch::Tensor spectrogram_, noise_;
};

TEST_F(SharedStepTest, GivesAllRanksTheGradientsOfTheWholeBatch) {
  const auto whole = alone();
  for (const bool overlap : {true, false}) {
    for (const double bucket_mb : {0.001, 0.05, 25.0}) {
      for (const std::int64_t device_batch : {0, 2}) {
        spec_.distributed.overlap = overlap;
        spec_.distributed.bucket_mb = bucket_mb;
        spec_.train.device_batch = device_batch;
        const auto outcomes = together({2, 5});
        for (const auto& outcome : outcomes) {
          EXPECT_NEAR(outcome.result.loss, whole.result.loss, 1e-5 * whole.result.loss);
          EXPECT_FALSE(outcome.result.stop);
          for (const auto& [name, gradient] : whole.gradients) {
            const double scale = gradient.abs().max().item<double>() + 1e-3 * whole.result.grad_norm;
            EXPECT_LE(test::absolute_error(outcome.gradients.at(name), gradient), 1e-5 * scale) << name;
          }
        }
        EXPECT_EQ(outcomes[0].result.loss, outcomes[1].result.loss);
        EXPECT_EQ(outcomes[0].result.grad_norm, outcomes[1].result.grad_norm);
        EXPECT_TRUE(outcomes[0].gradients.at("cls_token").equal(outcomes[1].gradients.at("cls_token")));
      }
    }
  }
}

TEST_F(SharedStepTest, AllSkipWhatIsNotFiniteInOneRank) {
  for (const float damage : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    spectrogram_[6][0][0][0] = damage;
    for (const auto& outcome : together({3, 2, 2})) {
      EXPECT_TRUE(outcome.result.skipped);
      EXPECT_FALSE(std::isfinite(outcome.result.loss));
    }
  }
}

TEST_F(SharedStepTest, AllLearnThatOneIsAskedToStop) {
  for (const auto& outcome : together({4, 3}, /*who_stops=*/1)) EXPECT_TRUE(outcome.result.stop);
}

}  // namespace
}  // namespace axlstm::train
