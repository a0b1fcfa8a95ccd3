// Launches of the float32 kernels.
#include "launch.cuh"
#include "mlstm_launch.h"
#include "mlstm_simt_backward.cuh"
#include "mlstm_simt_plan.h"

namespace axlstm::kernels {

cudaError_t launch_simt_forward(const ForwardParams& params, cudaStream_t stream) {
  return by_forward_columns(params.shape.DH, [&](auto columns) {
    constexpr int kColumns = decltype(columns)::value;
    return enqueue(simt_forward_kernel<kColumns>, plan_simt_rows<kColumns>(params.shape), stream, params);
  });
}

cudaError_t launch_simt_backward(const BackwardParams& params, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  return by_backward_columns(shape.DH, [&](auto columns) {
    constexpr int kColumns = decltype(columns)::value;
    cudaError_t failure = enqueue(simt_row_terms_kernel, plan_simt_row_terms(shape), stream, params);
    if (failure != cudaSuccess) return failure;
    failure = enqueue(simt_backward_columns_kernel<kColumns>, plan_simt_columns<kColumns>(shape), stream, params);
    if (failure != cudaSuccess) return failure;
    return enqueue(simt_backward_rows_kernel<kColumns>, plan_simt_rows<kColumns>(shape), stream, params);
  });
}

}  // namespace axlstm::kernels
