// Launches of the tensor-core kernels for one element type.
#pragma once

#include "launch.cuh"
#include "mlstm_chunk_kernels.cuh"
#include "mlstm_launch.h"
#include "mlstm_plan.h"

namespace axlstm::kernels {

template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream) {
  return by_warps(params.shape, [&](auto warps) {
    constexpr int kWarps = decltype(warps)::value;
    return enqueue(chunk_forward_kernel<kWarps, T>, plan_chunks<kWarps>(params.shape, false), stream, params);
  });
}

template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream) {
  return by_warps(params.shape, [&](auto warps) {
    constexpr int kWarps = decltype(warps)::value;
    return enqueue(chunk_backward_kernel<kWarps, T>, plan_chunks<kWarps>(params.shape, true), stream, params);
  });
}

}  // namespace axlstm::kernels
