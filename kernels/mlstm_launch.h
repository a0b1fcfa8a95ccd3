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

/// Enqueue the cell's forward or backward pass on `stream`; no host synchronisation, no memory is allocated, results do
/// not depend on launch order. Return the launch's error.
cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream);
cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t stream);

/// The scans over the gates before and after the tiles.
void launch_gate_forward(const ForwardParams& params, cudaStream_t stream);
void launch_gate_backward(const BackwardParams& params, cudaStream_t stream);

/// One element type each, so that they compile side by side.
template <typename T>
cudaError_t launch_forward(const ForwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_backward(const BackwardParams& params, cudaStream_t stream);

}  // namespace axlstm::kernels
