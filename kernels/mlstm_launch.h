// Host entry points of the mLSTM kernels.
#pragma once

#include <cuda_runtime_api.h>

#include "mlstm_params.h"

namespace axlstm::kernels {

inline constexpr std::int64_t kMaxHeadDim = 768;
inline constexpr std::int64_t kHeadDimMultiple = 16;

/// True for head dims that the kernels take.
constexpr bool supports_head_dim(std::int64_t head_dim) {
  return head_dim > 0 && head_dim <= kMaxHeadDim && head_dim % kHeadDimMultiple == 0;
}

/// Parts that BackwardParams::row_sum and column_sum must have room for.
int sum_parts(const MlstmShape& shape, DataType type);

/// Enqueue the cell's forward or backward pass on `stream`; no host synchronisation, no memory is allocated, results do
/// not depend on launch order. float16 and bfloat16 tensors must begin at, and have strides of, multiples of 16 bytes.
/// Return the launch's error.
cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream);
cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t stream);

/// What surrounds the products, whatever computes them: scans over the gates.
void launch_gate_forward(const ForwardParams& params, cudaStream_t stream);
void launch_gate_backward(const BackwardParams& params, int parts, cudaStream_t stream);

/// The products. simt: float32 (mlstm_fp32.cu); mma: float16 and bfloat16 on tensor cores, one type a file, so that
/// they compile side by side.
cudaError_t launch_simt_forward(const ForwardParams& params, cudaStream_t stream);
cudaError_t launch_simt_backward(const BackwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream);

}  // namespace axlstm::kernels
