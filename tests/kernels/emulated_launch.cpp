// The kernels' host entry points once more, here through the emulator: linked ahead of axlstm::kernels, they let the
// operations of src/ops run on tensors on the CPU.
#include "kernels/emulator_hopper.h"

// After the emulator, which stands for nvcc's language.
#include <algorithm>

#include "block_gates.cuh"
#include "block_input.cuh"
#include "block_input_backward.cuh"
#include "block_launch.h"
#include "block_norm.cuh"
#include "block_output.cuh"
#include "mlstm_chunk_kernels.cuh"
#include "mlstm_hopper_kernels.cuh"
#include "mlstm_launch.h"
#include "mlstm_links.cuh"
#include "mlstm_scans.cuh"
#include "mlstm_simt_backward.cuh"

namespace axlstm::kernels {
namespace {

emulator::Index simt_grid(const MlstmShape& shape) {
  return {static_cast<unsigned>(shape.B * shape.NH), ceil_div(shape.S, kTile), ceil_div(shape.DH, kStep * 4)};
}

template <typename Params>
void run_chunks(void (*small)(Params), void (*large)(Params), const Params& p, bool backward) {
  const unsigned blocks = static_cast<unsigned>(p.shape.B * p.shape.NH) * ceil_div(p.shape.S, p.shape.chunk);
  if (p.shape.chunk <= ChunkTerms<4>::kTokens) {
    emulator::launch(small, {blocks, 1, 1}, 4 * kWarp, chunk_bytes<4>(backward), p);
  } else {
    emulator::launch(large, {blocks, 1, 1}, 8 * kWarp, chunk_bytes<8>(backward), p);
  }
}

/// Two blocks, so that they go on to further chunks.
template <typename T, typename Params>
void run_hopper(void (*kernel)(Params), const Params& p) {
  const MlstmShape& shape = p.cell.shape;
  const unsigned chunks = static_cast<unsigned>(shape.B * shape.NH) * ceil_div(shape.S, shape.chunk);
  emulator::launch(kernel, {std::min(chunks, 2U), 1, 1}, HopperChunk<T>::kThreads, HopperChunk<T>::kBytes, p);
}

/// Calls run(element of the type).
template <typename Run>
cudaError_t by_type(DataType type, const Run& run) {
  if (type == DataType::kFloat16) {
    run(__half{});
  } else {
    run(__nv_bfloat16{});
  }
  return cudaSuccess;
}

emulator::Index link_blocks(const MlstmShape& shape, unsigned parts) {
  return {static_cast<unsigned>(shape.B * shape.NH * link_count(shape)), parts, 1};
}

emulator::Index token_blocks(const Links& links) {
  return link_blocks(links.shape, ceil_div(links.shape.chunk, kLinkTokens));
}

}  // namespace

/// Both sizes of chunks are to be tested: odd lengths go by the larger.
std::int64_t chunk_tokens(std::int64_t tokens, DataType type) {
  if (type == DataType::kFloat32) return 0;
  return even_chunk(tokens, tokens % 2 == 0 ? ChunkTerms<4>::kTokens : ChunkTerms<8>::kTokens);
}

/// Only where a test wants them.
bool hopper_kernels_run() { return true; }
bool hopper_kernels_are_faster(std::int64_t) { return false; }

int sum_parts(const MlstmShape& shape) { return shape.chunk > 0 && shape.chunk < shape.S ? 2 : 1; }

cudaError_t mlstm_scan_gates(const ForwardParams& params, cudaStream_t) {
  emulator::launch(gate_forward_kernel, {static_cast<unsigned>(params.shape.B * params.shape.NH), 1, 1},
                   static_cast<unsigned>(scan_threads(params.shape.S)), 0, params.shape, params.gates, params.state);
  return cudaSuccess;
}

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t) {
  if (type == DataType::kFloat32) {
    emulator::launch(simt_forward_kernel<4>, simt_grid(params.shape), kThreads, 0, params);
    return cudaSuccess;
  }
  const auto map = [&](const Tensor4& x) { return TensorMap{x, params.shape}; };
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    if (params.shape.hopper) {
      return run_hopper<T, HopperForward>(hopper_forward_kernel<T>,
                                          {params, map(params.q), map(params.k), map(params.v)});
    }
    run_chunks<ForwardParams>(chunk_forward_kernel<4, T>, chunk_forward_kernel<8, T>, params, false);
  });
}

cudaError_t mlstm_backward(const BackwardParams& params, DataType type, cudaStream_t) {
  if (type == DataType::kFloat32) {
    constexpr int kBytes = sizeof(float) * (2 * kTile * (kTile + 1) + kScratch<4>);
    emulator::launch(simt_row_terms_kernel, simt_grid(params.shape), kThreads, 0, params);
    emulator::launch(simt_backward_columns_kernel<4>, simt_grid(params.shape), kThreads, kBytes, params);
    emulator::launch(simt_backward_rows_kernel<4>, simt_grid(params.shape), kThreads, 0, params);
    return cudaSuccess;
  }
  const auto map = [&](const Tensor4& x) { return TensorMap{x, params.shape}; };
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    if (params.shape.hopper) {
      return run_hopper<T, HopperBackward>(hopper_backward_kernel<T>,
                                           {params, map(params.q), map(params.k), map(params.v), map(params.dh)});
    }
    run_chunks<BackwardParams>(chunk_backward_kernel<4, T>, chunk_backward_kernel<8, T>, params, true);
  });
}

cudaError_t mlstm_backward_gates(const BackwardParams& params, cudaStream_t) {
  emulator::launch(gate_backward_kernel, {static_cast<unsigned>(params.shape.B * params.shape.NH), 1, 1},
                   static_cast<unsigned>(scan_threads(params.shape.S)), 0, params);
  return cudaSuccess;
}

cudaError_t split_links(const SplitParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(split_kernel<decltype(element)>, token_blocks(params.links), kLinkThreads, 0, params);
  });
}

cudaError_t sum_links(const LinkSumParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(link_sum_kernel<decltype(element)>,
                     link_blocks(params.links.shape, ceil_div(params.links.shape.DH, 2 * kWarp)), kLinkThreads,
                     kLinkThreads * static_cast<int>(sizeof(float2)), params);
  });
}

cudaError_t total_links(const LinkTotalParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(link_total_kernel<decltype(element)>, link_blocks(params.links.shape, 1), kLinkThreads,
                     kLinkWarps * static_cast<int>(sizeof(float)), params);
  });
}

cudaError_t pass_states(const PassParams& params, DataType type, cudaStream_t) {
  const MlstmShape& shape = params.links.shape;
  const unsigned pieces = ceil_div((shape.DH * shape.DH + shape.DH) / 2, kLinkThreads);
  return by_type(type, [&](auto element) {
    emulator::launch(pass_kernel<decltype(element)>, {static_cast<unsigned>(shape.B * shape.NH), pieces, 1},
                     kLinkThreads, 0, params);
  });
}

cudaError_t dot_links(const DotParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(dot_kernel<decltype(element)>, token_blocks(params.links), kLinkThreads, 0, params);
  });
}

cudaError_t merge_links(const MergeParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(merge_kernel<decltype(element)>, token_blocks(params.links), kLinkThreads, 0, params);
  });
}

int norm_parts(std::int64_t) { return 2; }
int input_parts(const BlockShape&) { return 2; }

cudaError_t add_norm(const AddNormParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(add_norm_kernel<4, decltype(element)>, {ceil_div(params.B * params.S, kNormThreads / kWarp), 1, 1},
                     kNormThreads, 0, params);
  });
}

cudaError_t add_norm_backward(const AddNormBackwardParams& params, DataType type, cudaStream_t) {
  constexpr int kBytes = kNormThreads * 4 * static_cast<int>(sizeof(float2));
  return by_type(type, [&](auto element) {
    emulator::launch(add_norm_backward_kernel<4, decltype(element)>, {static_cast<unsigned>(params.parts), 1, 1},
                     kNormThreads, kBytes, params);
  });
}

cudaError_t fold_gates(const FoldGatesParams& params, cudaStream_t) {
  emulator::launch(fold_gates_kernel, {ceil_div(params.weights.I, kFoldThreads), 1, 1}, kFoldThreads, 0, params);
  return cudaSuccess;
}

cudaError_t fold_gates_backward(const FoldGatesBackwardParams& params, cudaStream_t) {
  emulator::launch(fold_gates_backward_kernel, {ceil_div(params.weights.I, kFoldThreads), 1, 1}, kFoldThreads, 0,
                   params);
  return cudaSuccess;
}

cudaError_t block_input(const BlockInputParams& params, DataType type, cudaStream_t) {
  const unsigned blocks = static_cast<unsigned>(params.shape.B) * ceil_div(params.shape.S, kInputTokens);
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    emulator::launch(block_input_kernel<T>, {blocks, 1, 1}, kInputWarps * kWarp, kInputBytes<T>, params);
  });
}

cudaError_t block_input_backward(const BlockInputBackwardParams& params, DataType type, cudaStream_t) {
  const unsigned blocks = ceil_div(params.part_count * (params.forward.shape.I / kTileChannels), kInputBackwardWarps);
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    emulator::launch(block_input_backward_kernel<T>, {blocks, 1, 1}, kInputBackwardWarps * kWarp, InputStep<T>::kBytes,
                     params);
  });
}

cudaError_t block_output(const BlockOutputParams& params, DataType type, cudaStream_t) {
  const std::int64_t heads = params.shape.B * params.shape.S * params.shape.NH;
  return by_type(type, [&](auto element) {
    emulator::launch(block_output_kernel<4, decltype(element)>, {ceil_div(heads, kOutputThreads / 4), 1, 1},
                     kOutputThreads, 0, params);
  });
}

cudaError_t block_output_backward(const BlockOutputBackwardParams& params, DataType type, cudaStream_t) {
  const std::int64_t heads = params.forward.shape.B * params.forward.shape.S * params.forward.shape.NH;
  return by_type(type, [&](auto element) {
    emulator::launch(block_output_backward_kernel<4, decltype(element)>, {ceil_div(heads, kOutputThreads / 4), 1, 1},
                     kOutputThreads, 0, params);
  });
}

}  // namespace axlstm::kernels
