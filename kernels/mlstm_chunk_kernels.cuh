// The cell on tensor cores, for float16 and bfloat16 with float32 accumulation. No S×S tensor is stored. A thread
// block has one head of one chunk of tokens (mlstm_chunk.cuh):
//
//   result │ rows │ weight                                             │ sum over j ≤ i, or i ≥ j
//   h      │ i    │ C_ij  = q_i·k_j exp(g_j − G_i) / √DH               │ v_j, at last / N_i
//   dq     │ i    │ dS_ij = (dh_i·v_j − s_i δ_i) exp(g_j − G_i) / N_i  │ k_j, at last / √DH
//   dv     │ j    │ C_ij / N_i                                         │ dh_i
//   dk     │ j    │ dS_ij                                              │ q_i, at last / √DH
//
// with δ_i = Σ_j C_ij (dh_i·v_j) / N_i. Scores stay in registers: an accumulator of mma has the layout of its left
// operand, so weights go straight into the second product. For dv and dk the scores are computed once more, transposed.
// What tokens before the chunk add comes in and goes out by the side: see src/ops/mlstm_chunks.cpp.
#pragma once

#include "mlstm_chunk.cuh"

namespace axlstm::kernels {

template <int kWarps, typename T>
__global__ void __launch_bounds__(kWarps* kWarp, 1) chunk_forward_kernel(const __grid_constant__ ForwardParams params) {
  using Chunk = MmaChunk<kWarps, T>;
  const ChunkRun runs[] = {{&params.q, &params.k}, {&params.v, nullptr}};
  Chunk chunk(params.shape);
  chunk.start(runs, params.state, nullptr);

  typename Chunk::Scores scores = {};
  chunk.add_scores(scores);
  typename Chunk::Weights C;
  typename Chunk::Rows factor = {};  // first n, then 1 / N
  chunk.visit(factor, chunk.scale(), [&](int slot, int half, int row, int, bool, const float(&gate)[2]) {
    const float x = scores[slot][half][2 * row] * gate[0], y = scores[slot][half][2 * row + 1] * gate[1];
    C[slot][2 * half + row] = pack<T>(x, y);
    return x + y;
  });
#pragma unroll
  for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float n = sum_of_quad(factor[strip][half]);
      const int token = chunk.own_token(strip, half);
      if (!chunk.inside(token)) continue;
      const std::int64_t at = chunk.at(token);
      if (params.n_before != nullptr) n += params.n_before[at];
      factor[strip][half] = normaliser(n, params.state.bound[at], params.shape.eps).inverse;
      if (Chunk::lane() % 4 == 0) params.n[at] = n;
    }
  }
  chunk.sum_slices([&](int slot, int n) { return C[slot][n]; },
                   [&](int slice, const typename Chunk::Sum& sum) { chunk.store(params.h, slice, sum, factor); });
}

/// δ of the rows of P = C / N, from its products with dA = dh vᵀ; stores it for this kernel and the next ones. Returns
/// s δ.
template <typename Chunk, typename T>
__device__ void row_delta(typename Chunk::Rows& signed_delta, const Chunk& chunk, const BackwardParams& params,
                          const typename Chunk::Rows& P_sum, const typename Chunk::Scores& dA) {
  typename Chunk::Rows delta = {}, rounded_sum = {};
#pragma unroll
  for (int slot = 0; slot < Chunk::kSlots; ++slot) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float of_delta = 0.0F, of_P = 0.0F;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float2 p = unpack<T>(chunk.held(slot, 2 * half + row));
        of_delta += p.x * dA[slot][half][2 * row] + p.y * dA[slot][half][2 * row + 1];
        of_P += p.x + p.y;
      }
      Chunk::add_to_row(delta, slot, row, of_delta);
      Chunk::add_to_row(rounded_sum, slot, row, of_P);
    }
  }
#pragma unroll
  for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = without_rounding(sum_of_quad(delta[strip][half]), sum_of_quad(P_sum[strip][half]),
                                   sum_of_quad(rounded_sum[strip][half]));
      const int token = chunk.own_token(strip, half);
      float sign = 0.0F;
      if (chunk.inside(token)) {
        const std::int64_t at = chunk.at(token);
        if (params.delta_before != nullptr) sum += params.delta_before[at];
        const Normaliser norm = normaliser(params.n[at], params.state.bound[at], params.shape.eps);
        sign = norm.sign;
        if (Chunk::lane() % 4 == 0) store_row_terms(params.rows, at, sum, norm);
      }
      signed_delta[strip][half] = sign * sum;
      if (Chunk::lane() % 4 == 0) chunk.terms().signed_delta[token] = sign * sum;
    }
  }
}

/// Two passes of the same code (it would not fit the instruction cache twice): by rows for dq, δ and the row sums of W
/// = ∂L/∂log D, then by columns for dv, dk and its column sums.
template <int kWarps, typename T>
__global__ void __launch_bounds__(kWarps* kWarp, 1)
    chunk_backward_kernel(const __grid_constant__ BackwardParams params) {
  using Chunk = MmaChunk<kWarps, T>;
  const ChunkRun runs[] = {{&params.q, &params.k}, {&params.dh, &params.v}, {&params.k, nullptr},
                           {&params.k, &params.q}, {&params.v, &params.dh}, {&params.dh, nullptr},
                           {&params.q, nullptr}};
  Chunk chunk(params.shape);
  chunk.start(runs, params.state, params.n);
  const float scale = chunk.scale();
#pragma unroll 1
  for (int by_columns = 0; by_columns < 2; ++by_columns) {
    if (by_columns != 0) chunk.mirror();
    typename Chunk::Weights dS;  // P = C / N is held
    {
      typename Chunk::Scores scores = {};
      typename Chunk::Rows P_sum = {}, sum = {}, own = {};  // own: s δ of the rows, in the first pass
      chunk.add_scores(scores);
      chunk.visit(P_sum, scale, [&](int slot, int half, int row, int, bool, const float(&gate)[2]) {
        const float x = scores[slot][half][2 * row] * gate[0], y = scores[slot][half][2 * row + 1] * gate[1];
        chunk.held(slot, 2 * half + row) = pack<T>(x, y);
        return x + y;
      });
      typename Chunk::Scores dA = {};
      chunk.add_scores(dA);
      if (by_columns == 0) row_delta<Chunk, T>(own, chunk, params, P_sum, dA);
      const float* signed_delta = chunk.terms().signed_delta;  // in the second pass, of the columns
      chunk.visit(sum, 1.0F, [&](int slot, int half, int row, int column, bool is_short, const float(&gate)[2]) {
        const float2 other =
            by_columns != 0 ? *reinterpret_cast<const float2*>(signed_delta + column) : make_float2(0.0F, 0.0F);
        const float mine = is_short ? own[1][row] : own[0][row];
        const float x = dA[slot][half][2 * row] - mine - other.x;
        const float y = dA[slot][half][2 * row + 1] - mine - other.y;
        const float2 p = unpack<T>(chunk.held(slot, 2 * half + row));
        dS[slot][2 * half + row] = pack<T>(x * gate[0], y * gate[1]);
        return x * p.x + y * p.y;
      });
      chunk.store_rows(sum, by_columns != 0 ? params.column_sum : params.row_sum);
    }
    if (by_columns != 0) {
      const typename Chunk::Rows ones = {{1.0F, 1.0F}, {1.0F, 1.0F}};
      chunk.sum_slices([&](int slot, int n) { return chunk.held(slot, n); },
                       [&](int slice, const typename Chunk::Sum& sum) { chunk.store(params.dv, slice, sum, ones); });
    }
    const typename Chunk::Rows scales = {{scale, scale}, {scale, scale}};
    const Tensor4& out = by_columns != 0 ? params.dk : params.dq;
    chunk.sum_slices([&](int slot, int n) { return dS[slot][n]; },
                     [&](int slice, const typename Chunk::Sum& sum) { chunk.store(out, slice, sum, scales); });
  }
}

}  // namespace axlstm::kernels
