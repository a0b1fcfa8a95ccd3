#include "linear_launch.h"

#include "launch.cuh"
#include "linear_gelu.cuh"
#include "linear_plan.h"

namespace axlstm::kernels {

int bias_parts(std::int64_t tokens, std::int64_t N) { return count_bias_parts(tokens, N); }

cudaError_t gelu(const GeluParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return enqueue(params.gelu == Gelu::kErf ? gelu_kernel<T, Gelu::kErf> : gelu_kernel<T, Gelu::kTanh>,
                   plan_gelu(params), stream, params);
  });
}

cudaError_t bias_gradient(const BiasGradientParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_gelu(params.gelu, [&](auto gelu) {
      return enqueue(bias_gradient_kernel<T, decltype(gelu)::value>, plan_bias_gradient(params), stream, params);
    });
  });
}

cudaError_t sum_over_parts(const SumPartsParams& params, cudaStream_t stream) {
  return enqueue(sum_over_parts_kernel, plan_sum_over_parts(params), stream, params);
}

}  // namespace axlstm::kernels
