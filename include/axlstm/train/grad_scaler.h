// The loss scale that float16 needs. LibTorch has the operators, but no class.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>
#include <map>
#include <string>

#include "axlstm/checkpoints/tensors.h"

namespace axlstm::train {

/// Multiplies the loss so that small gradients survive float16. The scale doubles after 2000 updates without overflow
/// and halves at each one (Micikevicius et al., Mixed Precision Training, 2018).
class GradScaler {
 public:
  /// `enabled` false: passes everything through.
  GradScaler(const torch::Device& device, bool enabled);

  torch::Tensor scale(const torch::Tensor& loss) const;

  /// Divides all gradients by the scale, in place.
  void unscale(const torch::nn::Module& module);

  /// Adapts the scale after a step, `overflow` telling whether its gradients were not finite.
  void update(bool overflow);

  bool enabled() const { return enabled_; }

  /// scaler.scale (float32) and scaler.growth_tracker (int32), sharing memory with the scaler; none if not enabled.
  checkpoints::NamedTensors state() const;

  /// Takes its tensors from `tensors`. Throws Error naming `source` and the tensor that is missing or does not fit.
  void load_state(const std::map<std::string, torch::Tensor>& tensors, const std::string& source);

 private:
  bool enabled_;
  torch::Tensor scale_;           // [1] float32
  torch::Tensor growth_tracker_;  // [1] int32: updates since the scale last changed
};

}  // namespace axlstm::train
