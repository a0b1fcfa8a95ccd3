#include "mlstm_launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "mlstm_width.h"

namespace axlstm::kernels {

int sum_parts(const MlstmShape& shape, DataType type) {
  return type == DataType::kFloat32 ? 1 : cut_head(shape.DH, shape.S).blocks;
}

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream) {
  launch_gate_forward(params, stream);
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
  cudaError_t failure = cudaErrorInvalidValue;
  switch (type) {
    case DataType::kFloat32:
      failure = launch_simt_backward(params, stream);
      break;
    case DataType::kFloat16:
      failure = launch_mma_backward<__half>(params, stream);
      break;
    case DataType::kBFloat16:
      failure = launch_mma_backward<__nv_bfloat16>(params, stream);
      break;
  }
  if (failure != cudaSuccess) return failure;
  launch_gate_backward(params, sum_parts(params.shape, type), stream);
  return cudaGetLastError();
}

}  // namespace axlstm::kernels
