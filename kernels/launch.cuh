// Carries a plan out on the GPU.
#pragma once

#include "launch.h"

namespace axlstm::kernels {

/// Enqueues kernel(params) on `stream`; returns the launch's error.
template <typename... Params>
cudaError_t enqueue(void (*kernel)(Params...), const Launch& plan, cudaStream_t stream, const Params&... params) {
  constexpr int kGranted = 48 << 10;  // more dynamic shared memory has to be asked for
  if (plan.shared_bytes > kGranted) {
    const cudaError_t failure =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, plan.shared_bytes);
    if (failure != cudaSuccess) return failure;
  }
  kernel<<<dim3(plan.grid.x, plan.grid.y, plan.grid.z), plan.threads, plan.shared_bytes, stream>>>(params...);
  return cudaGetLastError();
}

}  // namespace axlstm::kernels
