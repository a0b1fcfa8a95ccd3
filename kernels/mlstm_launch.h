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

/// Tokens of a chunk as the current device has shared memory for: all of a short sequence, or a part of a longer one,
/// and then the caller adds what the tokens before each chunk contribute (mlstm_links.h). 0 for float32, whose kernels
/// go over all pairs of tokens. The chunk kernels need 99 KB for a thread block, which every GPU from sm_80 on has.
std::int64_t chunk_tokens(std::int64_t tokens, DataType type);

/// Whether the current device has what the Hopper kernels are made of, and whether they are the faster ones there for
/// sequences of so many tokens.
bool hopper_kernels_run();
bool hopper_kernels_are_faster(std::int64_t tokens);

/// Parts that BackwardParams::dq_weight_parts has on the current device, and the warps of each.
int weight_parts(const MlstmShape& shape);
inline constexpr int kWeightWarps = 8;

/// Parts that BackwardParams::row_sum and column_sum have; where there are several chunks the caller writes the second.
constexpr int sum_parts(const MlstmShape& shape) { return shape.chunk > 0 && shape.chunk < shape.S ? 2 : 1; }

/// The cell's forward pass: scans over the gates, then h and n. The backward pass: δ, dq, dk, dv and the sums of W;
/// then di and df from the sums. All enqueue on `stream`; no host synchronisation, no memory is allocated, results do
/// not depend on launch order. float16 and bfloat16 tensors must begin at, and have strides of, multiples of 16 bytes,
/// not zero.
/// Return the launch's error.
cudaError_t mlstm_scan_gates(const ForwardParams& params, cudaStream_t stream);
cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t stream);
cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t stream);
cudaError_t mlstm_backward_gates(const BackwardParams& params, cudaStream_t stream);

/// What computes them. simt: float32 (mlstm_fp32.cu); mma: float16 and bfloat16 on tensor cores, one type a file, so
/// that they compile side by side; hopper: the same on those of compute capability 9.0.
cudaError_t launch_simt_forward(const ForwardParams& params, cudaStream_t stream);
cudaError_t launch_simt_backward(const BackwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream);
cudaError_t launch_hopper_forward(const ForwardParams& params, DataType type, cudaStream_t stream);
cudaError_t launch_hopper_backward(const BackwardParams& params, DataType type, cudaStream_t stream);

}  // namespace axlstm::kernels
