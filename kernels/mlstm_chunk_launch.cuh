// Grids of the tensor-core kernels for one element type.
#pragma once

#include "mlstm_chunk_kernels.cuh"
#include "mlstm_launch.h"

namespace axlstm::kernels {

template <int kWarps, typename Params>
cudaError_t launch_chunks(void (*kernel)(Params), const Params& params, bool backward, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  const int bytes = chunk_bytes<kWarps>(backward);
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (failure != cudaSuccess) return failure;
  const std::int64_t blocks = shape.B * shape.NH * ((shape.S + shape.chunk - 1) / shape.chunk);
  kernel<<<static_cast<unsigned>(blocks), kWarps * kWarp, bytes, stream>>>(params);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream) {
  const std::int64_t chunk = params.shape.chunk;
  if (chunk > ChunkTerms<4>::kTokens) return launch_chunks<8>(chunk_forward_kernel<8, T>, params, false, stream);
  return launch_chunks<4>(chunk_forward_kernel<4, T>, params, false, stream);
}

template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream) {
  const std::int64_t chunk = params.shape.chunk;
  if (chunk > ChunkTerms<4>::kTokens) return launch_chunks<8>(chunk_backward_kernel<8, T>, params, true, stream);
  return launch_chunks<4>(chunk_backward_kernel<4, T>, params, true, stream);
}

}  // namespace axlstm::kernels
