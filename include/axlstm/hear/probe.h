// The official downstream model of HEAR's scene tasks: a small perceptron on frozen embeddings, its grids of
// hyper-parameters and its training protocol.
//
// On one CPU thread a fit draws the same random numbers and does the same arithmetic as the evaluation kit
// (PyTorch 2.11), so scores agree to the last digit. All randomness comes from torch's default generator.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "axlstm/hear/task.h"

namespace axlstm::hear {

enum class Initialization { kXavierUniform, kXavierNormal };

struct ProbeConfig {
  int hidden_layers = 1;  ///< 0: a linear model
  int hidden_dim = 1024;
  double dropout = 0.1;
  double lr = 1e-4;  ///< Adam, constant
  Initialization initialization = Initialization::kXavierNormal;
  int batch_size = 1024;
  int max_epochs = 500;
  int check_val_every_n_epoch = 3;
  int patience = 20;  ///< validations, not epochs, without a better score before training stops
};

/// The points of a grid in scikit-learn's ParameterGrid order: `released` (2 points, of AxLSTM's released code and
/// paper), or HEAR's own `default` (16), `fast` (64) and `faster` (64). Throws UsageError naming the choices.
std::vector<ProbeConfig> grid_points(const std::string& name);

/// Rows of one or several splits.
struct ProbeData {
  torch::Tensor embeddings;  ///< [N, D] float32
  torch::Tensor targets;     ///< [N, C] float32, 1 for the labels of the row, else 0
};

/// What is predicted and what decides when to stop and which epoch and grid point is best.
struct ProbeObjective {
  PredictionType prediction_type = PredictionType::kMulticlass;
  std::vector<std::string> scores;  ///< names for metrics.h's score()
  bool monitor_loss = false;        ///< the validation loss (smaller is better) instead of scores[0] (larger is)

  /// True if `candidate` beats `best`; equal values do not, nor does NaN.
  bool is_better(double candidate, double best) const { return monitor_loss ? candidate < best : candidate > best; }
};

class ProbeModel;

struct ProbeFit {
  std::shared_ptr<ProbeModel> model;  ///< with the weights of the best epoch
  double validation_score = 0.0;      ///< at that epoch; the kit's -Infinity (loss: Infinity) if it was NaN
  int epoch = 0;                      ///< 0-based
  double minutes = 0.0;
};

/// Trains on `train` without shuffling, in batches of which the last one may be smaller, and validates on `valid`.
/// Runs on the device that holds the data. Throws Error for a training batch of one row, which batch normalisation
/// cannot take, and if no epoch is ever validated.
ProbeFit fit_probe(const ProbeConfig& config, const ProbeObjective& objective, const ProbeData& train,
                   const ProbeData& valid);

/// (name, value) of "loss" and every score of the objective on `test`, as the kit logs them: all values but d_prime
/// are rounded to float32.
std::vector<std::pair<std::string, double>> test_probe(const ProbeFit& fit, const ProbeConfig& config,
                                                       const ProbeObjective& objective, const ProbeData& test);

}  // namespace axlstm::hear
