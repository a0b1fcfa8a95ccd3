// AdamW with the paper's parameter groups and schedule.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/train/options.h"

namespace axlstm::train {

/// Peak learning rate: base_lr · global_batch / 256.
double peak_learning_rate(const OptimOptions& options);

/// Learning rate of the step that begins at `epoch` (fractional): linear warm-up from 0, then half a cosine to 0.
double learning_rate(const OptimOptions& options, double epoch);

/// L2 norm of all gradients together, as a tensor on their device.
torch::Tensor gradient_norm(const torch::nn::Module& module);

/// Decoupled weight decay Adam over a module's parameters, through LibTorch's fused kernel. Biases and one-dimensional
/// parameters are not decayed; class and mask tokens (3-D) are.
class AdamW {
 public:
  AdamW(const torch::nn::Module& module, const OptimOptions& options);

  /// One update with the gradients at hand. Parameters without a gradient stay as they are.
  void step(double lr);

  /// step() in two parts, of which the second can be recorded by a runtime::DeviceGraph.
  void set_learning_rate(double lr);
  void update();

  /// exp_avg.<name>, exp_avg_sq.<name> and step.<name> of every parameter, sharing memory with the optimiser.
  checkpoints::NamedTensors state() const;

  /// Throws Error naming `source` and the first tensor that does not fit.
  void load_state(const std::map<std::string, torch::Tensor>& tensors, const std::string& source);

 private:
  struct Slot {
    std::string name;
    torch::Tensor parameter, exp_avg, exp_avg_sq, step;
  };
  void update(const std::vector<Slot>& slots, double weight_decay);

  OptimOptions options_;
  std::vector<Slot> decayed_, plain_;
  double lr_ = 0;
  torch::Tensor device_lr_;  ///< on a GPU: a recording reads it there
};

}  // namespace axlstm::train
