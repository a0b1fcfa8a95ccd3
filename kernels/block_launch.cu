#include "block_launch.h"

#include "block_gates.cuh"
#include "block_input.cuh"
#include "block_input_backward.cuh"
#include "block_norm.cuh"
#include "block_output.cuh"
#include "block_plan.h"
#include "launch.cuh"

namespace axlstm::kernels {

int norm_parts(std::int64_t tokens) { return count_norm_parts(tokens); }
int input_parts(const BlockShape& shape) { return count_input_parts(shape); }

cudaError_t add_norm(const AddNormParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_pairs(params.D, [&](auto pairs) {
      return enqueue(add_norm_kernel<decltype(pairs)::value, T>, plan_add_norm(params), stream, params);
    });
  });
}

cudaError_t add_norm_backward(const AddNormBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_pairs(params.forward.D, [&](auto pairs) {
      return enqueue(add_norm_backward_kernel<decltype(pairs)::value, T>, plan_add_norm_backward(params, pairs), stream,
                     params);
    });
  });
}

cudaError_t pack_weights(const PackWeightsParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    return enqueue(pack_weights_kernel<decltype(element)>, plan_pack_weights(params), stream, params);
  });
}

cudaError_t fold_gates(const FoldGatesParams& params, cudaStream_t stream) {
  return enqueue(fold_gates_kernel, plan_fold_gates(params.weights), stream, params);
}

cudaError_t fold_gates_backward(const FoldGatesBackwardParams& params, cudaStream_t stream) {
  return enqueue(fold_gates_backward_kernel, plan_fold_gates(params.weights), stream, params);
}

cudaError_t block_input(const BlockInputParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return enqueue(params.q != nullptr ? block_input_kernel<T, true> : block_input_kernel<T, false>,
                   plan_block_input(params.shape), stream, params);
  });
}

cudaError_t block_input_backward(const BlockInputBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return enqueue(params.dk != nullptr ? block_input_backward_kernel<T, true> : block_input_backward_kernel<T, false>,
                   plan_block_input_backward(params), stream, params);
  });
}

cudaError_t block_output(const BlockOutputParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_lanes(params.shape, [&](auto lanes) {
      return enqueue(block_output_kernel<decltype(lanes)::value, T>, plan_block_output(params.shape, lanes), stream,
                     params);
    });
  });
}

cudaError_t block_output_backward(const BlockOutputBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    const BlockShape& shape = params.forward.shape;
    return by_lanes(shape, [&](auto lanes) {
      return enqueue(block_output_backward_kernel<decltype(lanes)::value, T>, plan_block_output(shape, lanes), stream,
                     params);
    });
  });
}

}  // namespace axlstm::kernels
