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

/// From this many tokens on, chunks are as fast as all pairs of tokens, or faster (docs/performance.md).
inline constexpr std::int64_t kLongSequence = 4096;

/// Tokens of a chunk, where the current device has the shared memory for the chunk kernels and they are the faster
/// ones: all tokens of a short sequence, so that there is one chunk, or a part of a long one, and then the caller adds
/// what the tokens before each chunk contribute. 0 where the kernels go over all pairs of tokens, strip by strip.
std::int64_t chunk_tokens(std::int64_t tokens, DataType type);

/// Parts that BackwardParams::row_sum and column_sum have; of chunks of a long sequence the caller writes the second.
int sum_parts(const MlstmShape& shape, DataType type);

/// The cell's forward pass: scans over the gates, then h and n. The backward pass: δ, dq, dk, dv and the sums of W;
/// then di and df from the sums. All enqueue on `stream`; no host synchronisation, no memory is allocated, results do
/// not depend on launch order. float16 and bfloat16 tensors must begin at, and have strides of, multiples of 16 bytes.
/// Return the launch's error.
cudaError_t mlstm_scan_gates(const ForwardParams& params, cudaStream_t stream);
cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream);
cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t stream);
cudaError_t mlstm_backward_gates(const BackwardParams& params, cudaStream_t stream);

/// What computes them. simt: float32 (mlstm_fp32.cu); mma: float16 and bfloat16 on tensor cores, one type a file, so
/// that they compile side by side.
cudaError_t launch_simt_forward(const ForwardParams& params, cudaStream_t stream);
cudaError_t launch_simt_backward(const BackwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream);

}  // namespace axlstm::kernels
