// Exponential moving average of a model's weights.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <map>
#include <string>
#include <vector>

#include "axlstm/checkpoints/tensors.h"

namespace axlstm::train {

/// After each update: average ← decay · average + (1 − decay) · weights (Polyak and Juditsky, 1992), in float32. Starts
/// at the weights it is made with.
class Ema {
 public:
  /// `decay` 0 turns it off: nothing is kept.
  Ema(const torch::nn::Module& module, double decay);

  void update();

  /// Puts the averages into the module and its weights in their place; twice is nothing. Nothing if not enabled.
  void swap();

  bool enabled() const { return decay_ > 0; }

  /// The averages under the names of their parameters, with the module's buffers as they are: a state dict. Shares
  /// memory. Empty if not enabled.
  checkpoints::NamedTensors state() const;

  /// Throws Error naming `source` and the first average that is missing or does not fit.
  void load_state(const std::map<std::string, torch::Tensor>& tensors, const std::string& source);

 private:
  double decay_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> weights_, averages_;
  checkpoints::NamedTensors buffers_;
};

}  // namespace axlstm::train
