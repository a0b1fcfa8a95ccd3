// Grids of the tensor-core kernels for one element type.
#pragma once

#include <type_traits>

#include "mlstm_launch.h"
#include "mlstm_mma.cuh"

namespace axlstm::kernels {

/// Calls launch(warps as a type, slices in shared memory) as the chunk and the device's shared memory ask for.
template <typename Launch>
cudaError_t by_chunk(const MlstmShape& shape, const Launch& launch) {
  const int memory = shared_memory_limit();
  if (shape.chunk <= ChunkTerms<4>::kTokens) {
    const bool two_blocks = memory >= 2 * chunk_bytes<4>(kDeepRing);  // on a multiprocessor
    return launch(std::integral_constant<int, 4>{}, two_blocks ? kDeepRing : kShallowRing);
  }
  return launch(std::integral_constant<int, 8>{}, memory >= chunk_bytes<8>(kDeepRing) ? kDeepRing : kShallowRing);
}

template <int kWarps, typename Params>
cudaError_t launch_chunks(void (*kernel)(Params, int), const Params& params, int ring, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  const int bytes = chunk_bytes<kWarps>(ring);
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (failure != cudaSuccess) return failure;
  const std::int64_t blocks = shape.B * shape.NH * ((shape.S + shape.chunk - 1) / shape.chunk);
  kernel<<<static_cast<unsigned>(blocks), kWarps * kWarp, bytes, stream>>>(params, ring);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream) {
  return by_chunk(params.shape, [&](auto warps, int ring) {
    constexpr int kWarps = decltype(warps)::value;
    return launch_chunks<kWarps>(mma_forward_kernel<kWarps, T>, params, ring, stream);
  });
}

template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream) {
  return by_chunk(params.shape, [&](auto warps, int ring) {
    constexpr int kWarps = decltype(warps)::value;
    return launch_chunks<kWarps>(mma_backward_kernel<kWarps, T>, params, ring, stream);
  });
}

}  // namespace axlstm::kernels
