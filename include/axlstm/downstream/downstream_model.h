// The official downstream model of HEAR: a small perceptron on frozen embeddings, and its training protocol.
//
// On one CPU thread a fit draws the same random numbers and does the same arithmetic as the evaluation kit
// (PyTorch 2.11), so scores agree to the last digit. All randomness comes from the generators that are handed in, so
// that models of different seeds can be trained at once.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/downstream/objective.h"
#include "axlstm/hear/grid.h"

namespace axlstm::downstream {

/// The random stream that the models of one seed are trained with, one after the other.
class DownstreamRandom {
 public:
  /// The state of torch after `torch.manual_seed(seed)`; dropout is drawn on `device`.
  DownstreamRandom(std::uint64_t seed, torch::Device device);

  /// Of weights and of what the kit's data loaders draw.
  at::Generator& cpu() { return cpu_; }
  /// Of dropout; the same as cpu() on the CPU.
  at::Generator& device() { return device_; }

 private:
  at::Generator cpu_, device_;
};

class DownstreamModel;

struct DownstreamFit {
  std::shared_ptr<DownstreamModel> model;  ///< with the weights of the best epoch
  double validation_score = 0.0;  ///< at that epoch; the kit's -Infinity (if minimised: Infinity) if it was NaN
  int epoch = 0;                  ///< 0-based
  double minutes = 0.0;
  std::optional<hear::Postprocessing> postprocessing;  ///< event tasks: the best one of that epoch
};

/// Thrown between two epochs when a stop was asked for.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// Trains on the splits `train`, one after the other without shuffling, in batches of which the last one may be
/// smaller, and validates on `valid`. Runs on the device that holds the data. Throws Error for a training batch of one
/// row, which batch normalisation cannot take, and if no epoch is ever validated; Interrupted when `stop` turns true.
DownstreamFit fit_downstream_model(const hear::DownstreamConfig& config, const DownstreamObjective& objective,
                                   const std::vector<SplitData>& train, const SplitData& valid,
                                   DownstreamRandom& random, const std::atomic<bool>* stop = nullptr);

struct DownstreamTest {
  std::vector<std::pair<std::string, double>> values;  ///< "loss" and every score, as the kit logs them (objective.h)
  torch::Tensor predictions, logits;                   ///< [N, C] float32 on the CPU; predictions are probabilities
};

/// Predicts and scores `test`.
DownstreamTest test_downstream_model(const DownstreamFit& fit, const hear::DownstreamConfig& config,
                                     const DownstreamObjective& objective, const SplitData& test,
                                     DownstreamRandom& random);

}  // namespace axlstm::downstream
