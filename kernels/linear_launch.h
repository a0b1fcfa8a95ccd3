// Host entry points of the kernels beside the products of linear layers. All enqueue on `stream`, allocate nothing and
// return the launch's error; the element type is float16 or bfloat16.
#pragma once

#include <cuda_runtime_api.h>

#include "linear_params.h"

namespace axlstm::kernels {

/// Parts in which a bias's gradient is to be stored; fixed, so that results are the same on every GPU.
int bias_parts(std::int64_t tokens, std::int64_t N);

cudaError_t gelu(const GeluParams& params, DataType type, cudaStream_t stream);
cudaError_t bias_gradient(const BiasGradientParams& params, DataType type, cudaStream_t stream);
cudaError_t sum_over_parts(const SumPartsParams& params, cudaStream_t stream);

}  // namespace axlstm::kernels
