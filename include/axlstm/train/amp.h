// Mixed precision: autocasting for a scope, and the loss scale that float16 needs. LibTorch has the operators of both,
// but neither class.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <map>
#include <string>

#include "axlstm/io/tensors.h"
#include "axlstm/train/options.h"

namespace axlstm::train {

/// What kAuto means on `device` (bf16 on a GPU, fp32 on the CPU); the others as they are. Throws UsageError for tf32 on
/// the CPU, which has no such arithmetic.
Precision resolve_precision(Precision precision, const torch::Device& device);

/// dtype of the matrix products that a resolved precision computes in.
at::ScalarType compute_dtype(Precision precision);

/// Lets float32 matrix products and convolutions of the GPU round their inputs to TF32 (tf32), or forbids it (others).
void set_float32_arithmetic(Precision precision);

/// While it lives, operators on `device` that gain from it compute in `dtype`; those that need the range stay in
/// float32. Leaves the thread's settings as they were found.
class Autocast {
 public:
  Autocast(at::DeviceType device, at::ScalarType dtype, bool enabled);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool enabled_before_;
  at::ScalarType dtype_before_;
};

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
  io::NamedTensors state() const;

  /// Takes its tensors from `tensors`. Throws Error naming `source` and the tensor that is missing or does not fit.
  void load_state(const std::map<std::string, torch::Tensor>& tensors, const std::string& source);

 private:
  bool enabled_;
  torch::Tensor scale_;           // [1] float32
  torch::Tensor growth_tracker_;  // [1] int32: updates since the scale last changed
};

}  // namespace axlstm::train
