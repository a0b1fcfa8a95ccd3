#include "mlstm_launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace axlstm::kernels {

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream) {
  switch (type) {
    case DataType::kFloat32:
      return launch_forward<float>(params, stream);
    case DataType::kFloat16:
      return launch_forward<__half>(params, stream);
    case DataType::kBFloat16:
      return launch_forward<__nv_bfloat16>(params, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t stream) {
  switch (type) {
    case DataType::kFloat32:
      return launch_backward<float>(params, stream);
    case DataType::kFloat16:
      return launch_backward<__half>(params, stream);
    case DataType::kBFloat16:
      return launch_backward<__nv_bfloat16>(params, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace axlstm::kernels
