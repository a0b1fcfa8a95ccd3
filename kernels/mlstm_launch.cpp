#include "mlstm_launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "mlstm_chunk_terms.h"

namespace axlstm::kernels {

int shared_memory_limit() {
  int device = 0, bytes = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return bytes;
}

std::int64_t chunk_tokens(std::int64_t tokens, DataType type) {
  if (type == DataType::kFloat32) return tokens;
  return even_chunk(tokens, shared_memory_limit() >= chunk_bytes<8>(kShallowRing) ? ChunkTerms<8>::kTokens : ChunkTerms<4>::kTokens);
}

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream) {
  switch (type) {
    case DataType::kFloat32:
      return launch_simt_forward(params, stream);
    case DataType::kFloat16:
      return launch_mma_forward<__half>(params, stream);
    case DataType::kBFloat16:
      return launch_mma_forward<__nv_bfloat16>(params, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t stream) {
  switch (type) {
    case DataType::kFloat32:
      return launch_simt_backward(params, stream);
    case DataType::kFloat16:
      return launch_mma_backward<__half>(params, stream);
    case DataType::kBFloat16:
      return launch_mma_backward<__nv_bfloat16>(params, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace axlstm::kernels
