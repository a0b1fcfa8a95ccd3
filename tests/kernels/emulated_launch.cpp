// The kernels' host entry points once more, here through the emulator: linked ahead of axlstm::kernels, they let the
// operations of src/ops run on tensors on the CPU.
#include "kernels/emulator.h"

// After the emulator, which stands for nvcc's language.
#include <algorithm>

#include "block_input.cuh"
#include "block_launch.h"
#include "block_norm.cuh"
#include "block_output.cuh"
#include "mlstm_chunk_kernels.cuh"
#include "mlstm_launch.h"
#include "mlstm_mma_rows.cuh"
#include "mlstm_scans.cuh"
#include "mlstm_simt_backward.cuh"
#include "mlstm_width.h"

namespace axlstm::kernels {
namespace {

unsigned ceil_div(std::int64_t size, std::int64_t part) { return static_cast<unsigned>((size + part - 1) / part); }

template <bool Held, int W, typename T>
void run_strips(const ForwardParams& p, unsigned blocks, int bytes) {
  emulator::launch(mma_forward_kernel<Held, W, T>, {blocks, 1, 1}, kStripThreads, bytes, p);
}

template <bool Held, int W, typename T>
void run_strips(const BackwardParams& p, unsigned blocks, int bytes) {
  emulator::launch(mma_backward_kernel<Held, W, T>, {3 * blocks, 1, 1}, kStripThreads, bytes, p);
}

template <bool Held, int W, typename T, typename Params>
void run_cut(const Params& p) {
  const unsigned strips = ceil_div(p.shape.S, kStripTokens);
  const auto blocks = static_cast<unsigned>(p.shape.B * p.shape.NH * cut_head(p.shape.DH, p.shape.S).blocks) * strips;
  run_strips<Held, W, T>(p, blocks, kStripBytes<W> + (Held ? static_cast<int>(strips) * kHeldTileBytes : 0));
}

template <typename T, typename Params>
void run_mma(const Params& params) {
  const HeadCut cut = cut_head(params.shape.DH, params.shape.S);
  if (cut.held) return cut.width == 96 ? run_cut<true, 96, T>(params) : run_cut<true, 144, T>(params);
  switch (cut.width) {
    case 64:
      return run_cut<false, 64, T>(params);
    case 96:
      return run_cut<false, 96, T>(params);
    case 144:
      return run_cut<false, 144, T>(params);
    default:
      return run_cut<false, kMaxMmaWidth, T>(params);
  }
}

emulator::Index simt_grid(const MlstmShape& shape) {
  return {static_cast<unsigned>(shape.B * shape.NH), ceil_div(shape.S, kTile), ceil_div(shape.DH, kStep * 4)};
}

template <int W, typename T>
void run_row_terms(const BackwardParams& p) {
  const unsigned grid = static_cast<unsigned>(p.shape.B * p.shape.NH) * ceil_div(p.shape.S, kStripTokens);
  emulator::launch(mma_row_terms_kernel<W, T>, {grid, 1, 1}, kStripThreads, kRowBytes<W>, p);
}

template <typename T>
void run_row_terms_of_width(const BackwardParams& p) {
  switch (row_width(p.shape.DH)) {
    case 64:
      return run_row_terms<64, T>(p);
    case 96:
      return run_row_terms<96, T>(p);
    default:
      return run_row_terms<144, T>(p);
  }
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

unsigned channel_blocks(const BlockShape& shape, int parts) {
  return ceil_div(parts * (shape.I / kBlockChannels), kChannelThreads);
}

}  // namespace

/// Both kinds of kernels are to be tested: odd lengths go by chunks.
std::int64_t chunk_tokens(std::int64_t tokens, DataType type) {
  return type == DataType::kFloat32 || tokens % 2 == 0 ? 0 : even_chunk(tokens, ChunkTerms<8>::kTokens);
}

int sum_parts(const MlstmShape& shape, DataType type) {
  if (shape.chunk > 0) return shape.chunk < shape.S ? 2 : 1;
  return type == DataType::kFloat32 ? 1 : cut_head(shape.DH, shape.S).blocks;
}

cudaError_t mlstm_scan_gates(const ForwardParams& params, cudaStream_t) {
  emulator::launch(gate_forward_kernel, {static_cast<unsigned>(params.shape.B * params.shape.NH), 1, 1}, 32, 0,
                   params.shape, params.gates, params.state);
  return cudaSuccess;
}

cudaError_t mlstm_forward(const ForwardParams& params, DataType type, cudaStream_t) {
  if (type == DataType::kFloat32) {
    emulator::launch(simt_forward_kernel<4>, simt_grid(params.shape), kThreads, 0, params);
    return cudaSuccess;
  }
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    if (params.shape.chunk == 0) return run_mma<T>(params);
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
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    if (params.shape.chunk == 0) {
      run_row_terms_of_width<T>(params);
      return run_mma<T>(params);
    }
    run_chunks<BackwardParams>(chunk_backward_kernel<4, T>, chunk_backward_kernel<8, T>, params, true);
  });
}

cudaError_t mlstm_backward_gates(const BackwardParams& params, cudaStream_t) {
  emulator::launch(gate_backward_kernel, {static_cast<unsigned>(params.shape.B * params.shape.NH), 1, 1}, 32, 0,
                   params);
  return cudaSuccess;
}

int norm_parts(std::int64_t) { return 2; }
int input_parts(const BlockShape&) { return 2; }
int gate_parts(const BlockShape&) { return 3; }

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

cudaError_t block_input(const BlockInputParams& params, DataType type, cudaStream_t) {
  const unsigned threads = ceil_div(params.shape.I / kBlockChannels, kWarp) * kWarp;
  const unsigned blocks = static_cast<unsigned>(params.shape.B) * ceil_div(params.shape.S, kInputTokens);
  return by_type(type, [&](auto element) {
    emulator::launch(block_input_kernel<192, decltype(element)>, {blocks, 1, 1}, threads, 0, params);
  });
}

cudaError_t block_input_backward(const BlockInputBackwardParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(block_input_backward_kernel<decltype(element)>,
                     {channel_blocks(params.forward.shape, params.part_count), 1, 1}, kChannelThreads, 0, params);
  });
}

cudaError_t gate_weight_gradient(const GateWeightParams& params, DataType type, cudaStream_t) {
  return by_type(type, [&](auto element) {
    emulator::launch(gate_weight_kernel<decltype(element)>, {channel_blocks(params.shape, params.part_count), 1, 1},
                     kChannelThreads, 0, params);
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
