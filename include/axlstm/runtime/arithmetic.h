// The arithmetic of a program: on which device, in which dtype. LibTorch has the operators of autocasting, but no
// class.
#pragma once

#include <torch/types.h>

#include "axlstm/runtime/options.h"

namespace axlstm::runtime {

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

/// Where and in what a model computes: made once, then handed on.
struct Arithmetic {
  torch::Device device = torch::kCPU;
  Precision precision = Precision::kFp32;  ///< resolved: never kAuto

  /// Throws UsageError as resolve_precision.
  Arithmetic(Precision wanted, const torch::Device& where)
      : device(where), precision(resolve_precision(wanted, where)) {}

  /// Of the matrix products.
  at::ScalarType dtype() const { return compute_dtype(precision); }

  /// Matrix products of this thread are computed in dtype() while it lives.
  [[nodiscard]] Autocast autocast() const { return {device.type(), dtype(), dtype() != at::kFloat}; }
};

}  // namespace axlstm::runtime
