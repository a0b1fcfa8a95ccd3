#include "mlstm_launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "mlstm_chunk_terms.h"
#include "mlstm_width.h"

namespace axlstm::kernels {

std::int64_t chunk_tokens(std::int64_t tokens, DataType type) {
  if (type == DataType::kFloat32) return 0;
  int device = 0, memory = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&memory, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  std::int64_t most = 0;
  if (memory >= chunk_bytes<4>(true)) most = ChunkTerms<4>::kTokens;
  if (memory >= chunk_bytes<8>(true)) most = ChunkTerms<8>::kTokens;
  return tokens <= most || (most > 0 && tokens >= kLongSequence) ? even_chunk(tokens, most) : 0;
}

int sum_parts(const MlstmShape& shape, DataType type) {
  if (shape.chunk > 0) return shape.chunk < shape.S ? 2 : 1;
  return type == DataType::kFloat32 ? 1 : cut_head(shape.DH, shape.S).blocks;
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
