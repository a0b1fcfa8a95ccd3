// What the backward pass on tensor cores needs of each row before anything else: δ_i = Σ_j C_ij (dh_i·v_j) / N_i. A
// block has a strip of 64 rows, as in mlstm_mma.cuh; both scores of a tile are taken side by side, none is stored.
#pragma once

#include "mlstm_mma.cuh"

namespace axlstm::kernels {

/// Bytes of shared memory of a block: q and dh of the strip, k and v of a tile.
template <int W>
constexpr int kRowBytes = 4 * kStripTokens* kStripPitch<W> * 2 + kStripTokens* static_cast<int>(sizeof(TokenTerms));

template <int W, typename T>
__global__ void __launch_bounds__(kStripThreads) mma_row_terms_kernel(BackwardParams params) {
  constexpr int kPitch = kStripPitch<W>, kTileSize = kStripTokens * kPitch;
  T* q = dynamic_shared<T>();
  T* dh = q + kTileSize;
  T* k = dh + kTileSize;
  T* v = k + kTileSize;
  auto* passing = reinterpret_cast<TokenTerms*>(v + kTileSize);  // [64]

  const MlstmShape& shape = params.shape;
  const int strips = static_cast<int>((shape.S + kStripTokens - 1) / kStripTokens);
  const int block = strips - 1 - static_cast<int>(blockIdx.x % strips);  // those with most tiles first
  const std::int64_t pair = blockIdx.x / strips, base = pair * shape.S;
  const std::int64_t first = static_cast<std::int64_t>(block) * kStripTokens;
  const int tid = threadIdx.x, warp = tid / kWarp, lane = tid % kWarp, g = lane / 4, t = lane % 4;
  const int slices = static_cast<int>((shape.DH + W - 1) / W);
  const float scale = rsqrtf(static_cast<float>(shape.DH));
  const SumOperands terms{shape, {}, {}, {}, {}, params.state};
  const int own_row = warp * 16 + g;
  const TokenTerms mine[2] = {token_terms<true, false>(terms, base, first + own_row),
                              token_terms<true, false>(terms, base, first + own_row + 8)};
  const int left = (warp * 16 + lane % 16) * kPitch + lane / 16 * 8;
  const int right = (lane % 8 + lane / 16 * 8) * kPitch + lane / 8 % 2 * 8;

  float weighted[2] = {};
  for (int tile = 0; tile <= block; ++tile) {
    const bool diagonal = tile == block;
    const int last_group = diagonal ? warp : 3;
    const std::int64_t column = static_cast<std::int64_t>(tile) * kStripTokens;
    float C[4][2][4] = {}, dA[4][2][4] = {};
    for (int slice = 0; slice < slices; ++slice) {
      __syncthreads();  // what was there is used up
      if (tile == 0 || slices > 1) {
        start_tile<W>(q, params.q, pair, first, slice * W, shape);
        start_tile<W>(dh, params.dh, pair, first, slice * W, shape);
      }
      start_tile<W>(k, params.k, pair, column, slice * W, shape);
      start_tile<W>(v, params.v, pair, column, slice * W, shape);
      copy_async_commit();
      if (slice == 0 && tid < kStripTokens) {
        passing[tid] = token_terms<false, false>(terms, base, column + tid);
        if (!diagonal) passing[tid].high = exponential(passing[tid], split_point(terms, base, column));
      }
      copy_async_wait<0>();
      __syncthreads();  // the slice is there, for all
#pragma unroll
      for (int channel = 0; channel < W; channel += 16) {
        std::uint32_t of_q[4], of_dh[4];
        load_matrices<false>(of_q, q + left + channel);
        load_matrices<false>(of_dh, dh + left + channel);
#pragma unroll
        for (int group = 0; group < 4; ++group) {
          if (group > last_group) continue;
          std::uint32_t of_k[4], of_v[4];
          load_matrices<false>(of_k, k + right + group * 16 * kPitch + channel);
          multiply_add<T>(C[group][0], of_q, of_k[0], of_k[1]);
          multiply_add<T>(C[group][1], of_q, of_k[2], of_k[3]);
          load_matrices<false>(of_v, v + right + group * 16 * kPitch + channel);
          multiply_add<T>(dA[group][0], of_dh, of_v[0], of_v[1]);
          multiply_add<T>(dA[group][1], of_dh, of_v[2], of_v[3]);
        }
      }
    }
    const TokenTerms split = split_point(terms, base, column);
    const float own_factor[2] = {exponential(split, mine[0]), exponential(split, mine[1])};  // off the diagonal
#pragma unroll
    for (int group = 0; group < 4; ++group) {
      if (group > last_group) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row = own_row + e / 2 * 8, other = group * 16 + half * 8 + 2 * t + e % 2;
          const float factor = !diagonal      ? own_factor[e / 2] * passing[other].high
                               : other <= row ? exponential(passing[other], mine[e / 2])
                                              : 0.0F;
          weighted[e / 2] += C[group][half][e] * factor * dA[group][half][e];
        }
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t token = first + own_row + half * 8;
    const float sum = scale * sum_of_quad(weighted[half]);
    if (t != 0 || token >= shape.S) continue;
    const Normaliser norm = normaliser(params.n[base + token], params.state.bound[base + token], shape.eps);
    store_row_terms(params.rows, base + token, sum * norm.inverse, norm);
  }
}

}  // namespace axlstm::kernels
