// A small model, its batch, and steps of it: for tests of the step and of what looks into one.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>
#include <string>

#include "axlstm/objective/masked_reconstruction.h"
#include "axlstm/train/step.h"

namespace axlstm::train {

/// Steps of a small model on eight clips of noise.
class SmallStep : public testing::Test {
 protected:
  SmallStep() {
    spec_.model.size = model::Size::kCustom;
    spec_.model.dim = 16;
    spec_.model.depth = 1;
    spec_.model = model::resolve(spec_.model);
    torch::manual_seed(0);
    spectrogram_ = torch::randn({8, 1, 200, 80});
    noise_ = torch::rand({8, 250});
  }

  struct Outcome {
    StepResult result;
    std::map<std::string, torch::Tensor> gradients, weights;
  };

  /// The model that is trained, and what a step needs beside it.
  struct Setup {
    explicit Setup(const config::RunConfig& config)
        : config(config),
          objective(config.model, config.mask, config.loss),
          optimizer(objective.module(), config.optim) {}

    StepSetup step(GradScaler* scaler = nullptr) {
      return {objective, optimizer, {config.train.precision, torch::kCPU}, config, scaler};
    }

    config::RunConfig config;
    objective::MaskedReconstruction objective;
    AdamW optimizer;
  };

  data::Batch batch() const { return {spectrogram_, {0, 1, 2, 3, 4, 5, 6, 7}, {}}; }

  Outcome step(const config::RunConfig& config, double lr = 1e-3) {
    torch::manual_seed(1);
    Setup setup(config);
    Outcome outcome{training_step(setup.step(), batch(), noise_, lr), {}, {}};
    for (const auto& item : setup.objective.module().named_parameters()) {
      outcome.gradients[item.key()] = item.value().grad().clone();
      outcome.weights[item.key()] = item.value().detach().clone();
    }
    return outcome;
  }

  config::RunConfig spec_;
  torch::Tensor spectrogram_, noise_;
};

}  // namespace axlstm::train
