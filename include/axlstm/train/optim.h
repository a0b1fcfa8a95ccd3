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

/// What the learning rate of a parameter is multiplied by with layer-wise decay (Clark et al., 2020): `decay` to the
/// power of the number of layers behind its own. Layers are the embedding (patches, class token, positions), the
/// `depth` blocks, and what stands behind them.
double layer_scale(const std::string& parameter, std::int64_t depth, double decay);

/// L2 norm of all gradients together, as a tensor on their device.
torch::Tensor gradient_norm(const torch::nn::Module& module);

/// Decoupled weight decay Adam over a module's parameters, through LibTorch's fused kernel. Biases and one-dimensional
/// parameters are not decayed; class and mask tokens (3-D) are. Parameters that need no gradient are not optimised.
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
  struct Group {
    double weight_decay, lr_scale;
    torch::Tensor device_lr;  ///< on a GPU: a recording reads it there
    std::vector<Slot> slots;
  };
  Group& group(double weight_decay, double lr_scale);
  void update(const Group& group);

  OptimOptions options_;
  std::vector<Group> groups_;
  double lr_ = 0;
};

}  // namespace axlstm::train
