#include "mlstm_launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "mlstm_chunk_terms.h"

namespace axlstm::kernels {

std::int64_t chunk_tokens(std::int64_t tokens, DataType type) {
  if (type == DataType::kFloat32) return 0;
  int device = 0, memory = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&memory, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return even_chunk(tokens, memory >= chunk_bytes<8>(true) ? ChunkTerms<8>::kTokens : ChunkTerms<4>::kTokens);
}

bool hopper_kernels_are_faster(std::int64_t tokens) { return tokens > ChunkTerms<4>::kTokens && hopper_kernels_run(); }

int sum_parts(const MlstmShape& shape) { return shape.chunk > 0 && shape.chunk < shape.S ? 2 : 1; }

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream) {
  if (params.shape.hopper) return launch_hopper_forward(params, type, stream);
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
  if (params.shape.hopper) return launch_hopper_backward(params, type, stream);
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
