#include "mlstm_launch.h"

#include "mlstm_plan.h"

namespace axlstm::kernels {

std::int64_t chunk_tokens(std::int64_t tokens, DataType type) {
  int device = 0, memory = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&memory, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return chunk_tokens_within(tokens, type, memory);
}

bool hopper_kernels_are_faster(std::int64_t tokens) { return tokens > ChunkTerms<4>::kTokens && hopper_kernels_run(); }

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream) {
  if (params.shape.hopper) return launch_hopper_forward(params, type, stream);
  if (type == DataType::kFloat32) return launch_simt_forward(params, stream);
  return by_type(type, [&](auto element) { return launch_mma_forward<decltype(element)>(params, stream); });
}

cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t stream) {
  if (params.shape.hopper) return launch_hopper_backward(params, type, stream);
  if (type == DataType::kFloat32) return launch_simt_backward(params, stream);
  return by_type(type, [&](auto element) { return launch_mma_backward<decltype(element)>(params, stream); });
}

}  // namespace axlstm::kernels
