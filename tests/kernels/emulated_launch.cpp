// The kernels' host entry points once more, here through the emulator: linked ahead of axlstm::kernels, they let the
// operations of src/ops run on tensors on the CPU. Kernels and plans are chosen as the .cu files choose them; a GPU of
// few multiprocessors and, by turns, of more or less shared memory is played, so that blocks go on to further work and
// both sizes of chunks run.
#include "kernels/emulator_hopper.h"

// After the emulator, which stands for nvcc's language.
#include "block_gates.cuh"
#include "block_input.cuh"
#include "block_input_backward.cuh"
#include "block_launch.h"
#include "block_norm.cuh"
#include "block_output.cuh"
#include "block_plan.h"
#include "linear_gelu.cuh"
#include "linear_launch.h"
#include "linear_plan.h"
#include "mlstm_chunk_kernels.cuh"
#include "mlstm_hopper_kernels.cuh"
#include "mlstm_launch.h"
#include "mlstm_links.cuh"
#include "mlstm_links_plan.h"
#include "mlstm_plan.h"
#include "mlstm_scans.cuh"
#include "mlstm_simt_backward.cuh"
#include "mlstm_simt_plan.h"
#include "scan_backward.cuh"
#include "scan_convolution.cuh"
#include "scan_forward.cuh"
#include "scan_launch.h"
#include "window_backward.cuh"
#include "window_forward.cuh"
#include "window_launch.h"

namespace axlstm::kernels {

using emulator::launch;

/// Odd lengths go by the larger chunks.
std::int64_t chunk_tokens(std::int64_t tokens, DataType type) {
  return chunk_tokens_within(tokens, type, tokens % 2 == 0 ? chunk_bytes<4>(true) : chunk_bytes<8>(true));
}

/// Only where a test wants them.
bool hopper_kernels_run() { return true; }
bool hopper_kernels_are_faster(std::int64_t) { return false; }

cudaError_t mlstm_scan_gates(const ForwardParams& params, cudaStream_t) {
  return launch(gate_forward_kernel, plan_scan(params.shape), params.shape, params.gates, params.state);
}

cudaError_t mlstm_backward_gates(const BackwardParams& params, cudaStream_t) {
  return launch(gate_backward_kernel, plan_scan(params.shape), params);
}

namespace {

constexpr int kMultiprocessors = 2;

cudaError_t simt_forward(const ForwardParams& params) {
  return by_forward_columns(params.shape.DH, [&](auto columns) {
    constexpr int kColumns = decltype(columns)::value;
    return launch(simt_forward_kernel<kColumns>, plan_simt_rows<kColumns>(params.shape), params);
  });
}

cudaError_t simt_backward(const BackwardParams& params) {
  const MlstmShape& shape = params.shape;
  return by_backward_columns(shape.DH, [&](auto columns) {
    constexpr int kColumns = decltype(columns)::value;
    launch(simt_row_terms_kernel, plan_simt_row_terms(shape), params);
    launch(simt_backward_columns_kernel<kColumns>, plan_simt_columns<kColumns>(shape), params);
    return launch(simt_backward_rows_kernel<kColumns>, plan_simt_rows<kColumns>(shape), params);
  });
}

template <typename T>
cudaError_t mma_forward(const ForwardParams& params) {
  return by_warps(params.shape, [&](auto warps) {
    constexpr int kWarps = decltype(warps)::value;
    return launch(chunk_forward_kernel<kWarps, T>, plan_chunks<kWarps>(params.shape, false), params);
  });
}

template <typename T>
cudaError_t mma_backward(const BackwardParams& params) {
  return by_warps(params.shape, [&](auto warps) {
    constexpr int kWarps = decltype(warps)::value;
    return launch(chunk_backward_kernel<kWarps, T>, plan_chunks<kWarps>(params.shape, true), params);
  });
}

template <typename T>
cudaError_t hopper_forward(const ForwardParams& params) {
  const auto map = [&](const Tensor4& x) { return TensorMap{x, params.shape}; };
  const HopperForward all{params, map(params.q), map(params.k), map(params.v)};
  return launch(hopper_forward_for<T>(params), plan_hopper(params.shape, kMultiprocessors), all);
}

template <typename T>
cudaError_t hopper_backward(const BackwardParams& params) {
  const auto map = [&](const Tensor4& x) { return TensorMap{x, params.shape}; };
  const HopperBackward all{params, map(params.q), map(params.k), map(params.v), map(params.dh)};
  return launch(hopper_backward_for<T>(params), plan_hopper(params.shape, kMultiprocessors), all);
}

}  // namespace

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t) {
  if (type == DataType::kFloat32) return simt_forward(params);
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return params.shape.hopper ? hopper_forward<T>(params) : mma_forward<T>(params);
  });
}

cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t) {
  if (type == DataType::kFloat32) return simt_backward(params);
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return params.shape.hopper ? hopper_backward<T>(params) : mma_backward<T>(params);
  });
}

int weight_parts(const MlstmShape& shape) { return static_cast<int>(hopper_ctas_of_head(shape, kMultiprocessors)); }

cudaError_t split_links(const SplitParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    return launch(split_kernel<decltype(element)>, plan_link_tokens(params.links), params);
  });
}

cudaError_t sum_links(const LinkSumParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    return launch(link_sum_kernel<decltype(element)>, plan_sum_links(params.links), params);
  });
}

cudaError_t pass_states(const PassParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    return launch(pass_kernel<decltype(element)>, plan_pass_states(params.links), params);
  });
}

cudaError_t total_links(const LinkTotalParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    return launch(link_total_kernel<decltype(element)>, plan_total_links(params.links), params);
  });
}

cudaError_t dot_links(const DotParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    return launch(dot_kernel<decltype(element)>, plan_link_tokens(params.links), params);
  });
}

cudaError_t merge_links(const MergeParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    return launch(merge_kernel<decltype(element)>, plan_link_tokens(params.links), params);
  });
}

int norm_parts(std::int64_t tokens) { return count_norm_parts(tokens, kMultiprocessors); }
int input_parts(const BlockShape& shape) { return count_input_parts(shape, 1); }

cudaError_t add_norm(const AddNormParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_pairs(params.D, [&](auto pairs) {
      return launch(add_norm_kernel<decltype(pairs)::value, T>, plan_add_norm(params), params);
    });
  });
}

cudaError_t add_norm_backward(const AddNormBackwardParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_pairs(params.forward.D, [&](auto pairs) {
      return launch(add_norm_backward_kernel<decltype(pairs)::value, T>, plan_add_norm_backward(params, pairs), params);
    });
  });
}

int bias_parts(std::int64_t tokens, std::int64_t N) { return count_bias_parts(tokens, N, 4); }

cudaError_t gelu(const GeluParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return launch(params.gelu == Gelu::kErf ? gelu_kernel<T, Gelu::kErf> : gelu_kernel<T, Gelu::kTanh>,
                  plan_gelu(params), params);
  });
}

cudaError_t bias_gradient(const BiasGradientParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_gelu(params.gelu, [&](auto gelu) {
      return launch(bias_gradient_kernel<T, decltype(gelu)::value>, plan_bias_gradient(params), params);
    });
  });
}

cudaError_t sum_over_parts(const SumPartsParams& params, cudaStream_t) {
  return launch(sum_over_parts_kernel, plan_sum_over_parts(params), params);
}

cudaError_t pack_weights(const PackWeightsParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    return launch(pack_weights_kernel<decltype(element)>, plan_pack_weights(params), params);
  });
}

cudaError_t fold_gates(const FoldGatesParams& params, cudaStream_t) {
  return launch(fold_gates_kernel, plan_fold_gates(params.weights), params);
}

cudaError_t fold_gates_backward(const FoldGatesBackwardParams& params, cudaStream_t) {
  return launch(fold_gates_backward_kernel, plan_fold_gates(params.weights), params);
}

cudaError_t block_input(const BlockInputParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return launch(params.q != nullptr ? block_input_kernel<T, true> : block_input_kernel<T, false>,
                  plan_block_input(params.shape), params);
  });
}

cudaError_t block_input_backward(const BlockInputBackwardParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return launch(params.dk != nullptr ? block_input_backward_kernel<T, true> : block_input_backward_kernel<T, false>,
                  plan_block_input_backward(params), params);
  });
}

cudaError_t block_output(const BlockOutputParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_lanes(params.shape, [&](auto lanes) {
      return launch(block_output_kernel<decltype(lanes)::value, T>, plan_block_output(params.shape, lanes), params);
    });
  });
}

cudaError_t block_output_backward(const BlockOutputBackwardParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    const BlockShape& shape = params.forward.shape;
    return by_lanes(shape, [&](auto lanes) {
      return launch(block_output_backward_kernel<decltype(lanes)::value, T>, plan_block_output(shape, lanes), params);
    });
  });
}

int scan_parts(const ScanShape& shape) { return count_scan_parts(shape); }
std::int64_t convolution_stretches(const ScanShape& shape) { return count_stretches(shape); }
std::int64_t kept_elements(const ScanShape& shape) { return count_kept(shape); }

cudaError_t scan_forward(const ScanParams& params, DataType type, cudaStream_t) {
  return by_any_type(type, [&](auto element) {
    return by_states(params.shape.N, [&](auto states) {
      constexpr int kStates = decltype(states)::value;
      return launch(scan_forward_kernel<kStates, decltype(element)>, plan_scan_forward<kStates>(params.shape), params);
    });
  });
}

cudaError_t scan_backward(const ScanBackwardParams& params, DataType type, cudaStream_t) {
  return by_any_type(type, [&](auto element) {
    return by_states(params.forward.shape.N, [&](auto states) {
      constexpr int kStates = decltype(states)::value;
      using T = decltype(element);
      return launch(scan_backward_kernel<kStates, T>, plan_scan_backward<kStates, T>(params.forward.shape), params);
    });
  });
}

cudaError_t convolution(const ConvolutionParams& params, DataType type, cudaStream_t) {
  return by_any_type(type, [&](auto element) {
    return launch(convolution_kernel<decltype(element)>, plan_convolution(params.shape), params);
  });
}

cudaError_t convolution_backward(const ConvolutionBackwardParams& params, DataType type, cudaStream_t) {
  return by_any_type(type, [&](auto element) {
    return launch(convolution_backward_kernel<decltype(element)>, plan_convolution(params.forward.shape), params);
  });
}

bool window_kernels_take(const WindowParams& params) { return takes_windows(params); }

cudaError_t window_forward(const WindowParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_sixteens(params.DH, [&](auto sixteens) {
      return launch(window_forward_kernel<decltype(sixteens)::value, T>, plan_window_forward(params), params);
    });
  });
}

cudaError_t window_backward(const WindowBackwardParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_sixteens(params.forward.DH, [&](auto sixteens) {
      return launch(window_backward_kernel<decltype(sixteens)::value, T>, plan_window_backward(params), params);
    });
  });
}

}  // namespace axlstm::kernels
