#include "axlstm/runtime/arithmetic.h"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <cstdlib>

#include "axlstm/core/error.h"

namespace axlstm::runtime {

Precision resolve_precision(Precision precision, const torch::Device& device) {
  if (precision == Precision::kTf32 && device.is_cpu())
    throw UsageError("precision tf32 needs a GPU; on the CPU take fp32 (train.precision, --precision)");
  if (precision != Precision::kAuto) return precision;
  return device.is_cpu() ? Precision::kFp32 : Precision::kBf16;
}

at::ScalarType compute_dtype(Precision precision) {
  return precision == Precision::kBf16 ? at::kBFloat16 : precision == Precision::kFp16 ? at::kHalf : at::kFloat;
}

void set_float32_arithmetic(Precision precision) {
  const bool tf32 = precision == Precision::kTf32;
  at::globalContext().setAllowTF32CuBLAS(tf32);
  at::globalContext().setAllowTF32CuDNN(tf32);  // cuDNN's own default is to round
}

void set_deterministic(bool deterministic) {
  if (deterministic) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  auto& context = at::globalContext();
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);  // a check for reads of unwritten memory, at its cost
  context.setDeterministicCuDNN(deterministic);
}

Autocast::Autocast(at::DeviceType device, at::ScalarType dtype, bool enabled)
    : device_(device),
      enabled_before_(at::autocast::is_autocast_enabled(device)),
      dtype_before_(at::autocast::get_autocast_dtype(device)) {
  at::autocast::set_autocast_enabled(device_, enabled);
  if (enabled) at::autocast::set_autocast_dtype(device_, dtype);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  // The converted weights are kept for the outermost scope only: the optimiser changes them after it.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, enabled_before_);
  at::autocast::set_autocast_dtype(device_, dtype_before_);
}

}  // namespace axlstm::runtime
