// The cell on tensor cores, for float16 and bfloat16 with float32 accumulation. No S×S tensor is stored. A block has one
// head of one chunk of tokens (mlstm_chunk.cuh):
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
__global__ void __launch_bounds__(kWarps* kWarp, 1)
    mma_forward_kernel(const __grid_constant__ ForwardParams params, int ring) {
  using Block = Chunk<kWarps, T>;
  const ChunkRun runs[] = {{&params.q, &params.k}, {&params.v, nullptr}};
  Block chunk(params.shape, runs, 2, ring);
  chunk.start(params.state, nullptr);
  const float scale = chunk.scale();

  typename Block::Scores scores = {};
  chunk.template add_scores<false>(scores);
  typename Block::Weights C;
  typename Block::Rows factor = {};  // first n, then 1 / N
  chunk.template visit<false>(factor, [&](int slot, int half, int row, int, bool, const float(&gate)[2]) {
    const float x = scores[slot][half][2 * row] * scale * gate[0], y = scores[slot][half][2 * row + 1] * scale * gate[1];
    C[slot][2 * half + row] = pack<T>(x, y);
    return x + y;
  });
#pragma unroll
  for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float n = sum_of_quad(factor[strip][half]);
      const int token = Block::template own_token<false>(strip, half);
      if (!chunk.inside(token)) continue;
      const std::int64_t at = chunk.at(token);
      if (params.n_before != nullptr) n += params.n_before[at];
      factor[strip][half] = normaliser(n, params.state.bound[at], params.shape.eps).inverse;
      if (Block::lane() % 4 == 0) params.n[at] = n;
    }
  }
  chunk.template sum_slices<false>(C, [&](int slice, const typename Block::Sum& sum) {
    chunk.template store<false>(params.h, slice, sum, factor);
  });
}

/// dq, δ and the row sums of W = ∂L/∂log D; then dv, dk and its column sums.
template <int kWarps, typename T>
__global__ void __launch_bounds__(kWarps* kWarp, 1)
    mma_backward_kernel(const __grid_constant__ BackwardParams params, int ring) {
  using Block = Chunk<kWarps, T>;
  const ChunkRun runs[] = {{&params.q, &params.k},  {&params.dh, &params.v}, {&params.k, nullptr}, {&params.k, &params.q},
                           {&params.v, &params.dh}, {&params.dh, nullptr},   {&params.q, nullptr}};
  Block chunk(params.shape, runs, 7, ring);
  chunk.start(params.state, params.n);
  const float scale = chunk.scale();
  const typename Block::Rows scales = {{scale, scale}, {scale, scale}}, ones = {{1.0F, 1.0F}, {1.0F, 1.0F}};
  typename Block::Weights P, dS;  // C / N, and what the head says
  typename Block::Rows P_sum = {}, unused = {};

  {
    typename Block::Scores scores = {};
    chunk.template add_scores<false>(scores);
    chunk.template visit<false>(P_sum, [&](int slot, int half, int row, int, bool, const float(&gate)[2]) {
      const float x = scores[slot][half][2 * row] * scale * gate[0], y = scores[slot][half][2 * row + 1] * scale * gate[1];
      P[slot][2 * half + row] = pack<T>(x, y);
      return x + y;
    });
  }
  {
    typename Block::Scores dA = {};
    chunk.template add_scores<false>(dA);
    chunk.keep_packed(P);
    typename Block::Rows delta = {}, rounded_sum = {}, row_sum = {};
    chunk.add_rows(rounded_sum, [&](int slot, int half, int row) {
      const float2 p = unpack<T>(P[slot][2 * half + row]);
      return p.x + p.y;
    });
    chunk.add_rows(delta, [&](int slot, int half, int row) {
      const float2 p = unpack<T>(P[slot][2 * half + row]);
      return p.x * dA[slot][half][2 * row] + p.y * dA[slot][half][2 * row + 1];
    });
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = sum_of_quad(delta[strip][half]);
        // Where one j rules a row, dh_i·v_j − δ_i cancels: P's rounding is taken out again. (Where P's signs cancel
        // instead, its sum says nothing of that.)
        const float exact = sum_of_quad(P_sum[strip][half]), rounded = sum_of_quad(rounded_sum[strip][half]);
        if (fabsf(exact - rounded) < fabsf(exact) / 128) sum *= exact / rounded;
        const int token = Block::template own_token<false>(strip, half);
        float sign = 0.0F;
        if (chunk.inside(token)) {
          const std::int64_t at = chunk.at(token);
          if (params.delta_before != nullptr) sum += params.delta_before[at];
          const Normaliser norm = normaliser(params.n[at], params.state.bound[at], params.shape.eps);
          sign = norm.sign;
          if (Block::lane() % 4 == 0) store_row_terms(params.rows, at, sum, norm);
        }
        delta[strip][half] = sign * sum;
        chunk.terms().signed_delta[token] = sign * sum;  // all four lanes write the same
      }
    }
    chunk.keep_packed(P);
    chunk.template visit<false>(row_sum, [&](int slot, int half, int row, int, bool is_short, const float(&gate)[2]) {
      const float own = is_short ? delta[1][row] : delta[0][row];
      const float x = dA[slot][half][2 * row] - own, y = dA[slot][half][2 * row + 1] - own;
      const float2 p = unpack<T>(P[slot][2 * half + row]);
      dS[slot][2 * half + row] = pack<T>(x * gate[0], y * gate[1]);
      return x * p.x + y * p.y;
    });
    chunk.template store_rows<false>(row_sum, params.row_sum);
  }
  chunk.template sum_slices<false>(dS, [&](int slice, const typename Block::Sum& sum) {
    chunk.template store<false>(params.dq, slice, sum, scales);
  });

  {
    typename Block::Scores scores = {};
    chunk.template add_scores<true>(scores);
    chunk.template visit<true>(unused, [&](int slot, int half, int row, int, bool, const float(&gate)[2]) {
      const auto& s = scores[slot][half];
      P[slot][2 * half + row] = pack<T>(s[2 * row] * scale * gate[0], s[2 * row + 1] * scale * gate[1]);
      return 0.0F;
    });
  }
  {
    typename Block::Scores dA = {};
    chunk.template add_scores<true>(dA);
    chunk.keep_packed(P);
    typename Block::Rows column_sum = {};
    chunk.template visit<true>(column_sum, [&](int slot, int half, int row, int column, bool, const float(&gate)[2]) {
      const float2 delta = *reinterpret_cast<const float2*>(&chunk.terms().signed_delta[column]);
      const float x = dA[slot][half][2 * row] - delta.x, y = dA[slot][half][2 * row + 1] - delta.y;
      const float2 p = unpack<T>(P[slot][2 * half + row]);
      dS[slot][2 * half + row] = pack<T>(x * gate[0], y * gate[1]);
      return x * p.x + y * p.y;
    });
    chunk.template store_rows<true>(column_sum, params.column_sum);
  }
  chunk.template sum_slices<true>(P, [&](int slice, const typename Block::Sum& sum) {
    chunk.template store<true>(params.dv, slice, sum, ones);
  });
  chunk.template sum_slices<true>(dS, [&](int slice, const typename Block::Sum& sum) {
    chunk.template store<true>(params.dk, slice, sum, scales);
  });
}

}  // namespace axlstm::kernels
