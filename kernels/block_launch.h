// Host entry points of the kernels around the cell. All enqueue on `stream`, allocate nothing and return the launch's
// error; the element type is float16 or bfloat16.
#pragma once

#include <cuda_runtime_api.h>

#include "block_params.h"

namespace axlstm::kernels {

inline constexpr std::int64_t kMaxBlockWidth = 1280;  // D: even

/// Parts in which sums over tokens are to be stored; fixed, so that results are the same on every GPU.
int norm_parts(std::int64_t tokens);
int input_parts(const BlockShape& shape);

cudaError_t add_norm(const AddNormParams& params, DataType type, cudaStream_t stream);
cudaError_t add_norm_backward(const AddNormBackwardParams& params, DataType type, cudaStream_t stream);
cudaError_t pack_weights(const PackWeightsParams& params, DataType type, cudaStream_t stream);
cudaError_t fold_gates(const FoldGatesParams& params, cudaStream_t stream);
cudaError_t fold_gates_backward(const FoldGatesBackwardParams& params, cudaStream_t stream);
cudaError_t block_input(const BlockInputParams& params, DataType type, cudaStream_t stream);
cudaError_t block_input_backward(const BlockInputBackwardParams& params, DataType type, cudaStream_t stream);
cudaError_t block_output(const BlockOutputParams& params, DataType type, cudaStream_t stream);
cudaError_t block_output_backward(const BlockOutputBackwardParams& params, DataType type, cudaStream_t stream);

}  // namespace axlstm::kernels
