// Fills a chunk's terms, a thread a token: what goes around the scores of tokens i and j is a product of three of them.
#pragma once

#include "mlstm_chunk_terms.h"
#include "mlstm_gates.cuh"

namespace axlstm::kernels {

/// A token's gates; those of a token that is not there make every factor 0.
struct TokenGates {
  float g_high = -INFINITY, g_low = 0.0F;
  float G_high = INFINITY, G_low = 0.0F;
  float inverse = 0.0F;
};

/// Reads the gates of token `at` of [B, NH, S]. `n` is null in the forward pass.
__device__ inline TokenGates token_gates(const GateState& state, const float* n, float eps, std::int64_t at,
                                         bool inside) {
  if (!inside) return {};
  const float inverse = n != nullptr ? normaliser(n[at], state.bound[at], eps).inverse : 1.0F;
  return {state.g_high[at], state.g_low[at], state.G_high[at], state.G_low[at], inverse};
}

template <int kWarps>
__device__ void put_gates(ChunkTerms<kWarps>& all, int token, const TokenGates& gates) {
  all.g_high[token] = gates.g_high;
  all.g_low[token] = gates.g_low;
  all.G_high[token] = gates.G_high;
  all.G_low[token] = gates.G_low;
  all.inverse[token] = gates.inverse;
}

/// The factors, once the gates of all tokens are there; `tokens` of the chunk are inside.
template <int kWarps>
__device__ void put_factors(ChunkTerms<kWarps>& all, int token, int tokens, const TokenGates& gates) {
  constexpr int kGroups = ChunkTerms<kWarps>::kGroups;
  const int group = token / 16;
  const auto last = [&](int of) { return 16 * of + 15 < tokens ? 16 * of + 15 : tokens - 1; };  // a group's last token
  const auto difference = [&](float high, float low, int minus) {
    return fast_exp2((high - all.G_high[minus]) + (low - all.G_low[minus]));
  };
  all.j_factor[token] = difference(gates.g_high, gates.g_low, last(group));
  const int before = last(group > 0 ? group - 1 : 0);
  all.i_factor[token] =
      group > 0 ? fast_exp2((all.G_high[before] - gates.G_high) + (all.G_low[before] - gates.G_low)) * gates.inverse
                : 0.0F;
  for (int pair = token; pair < kGroups * kGroups; pair += ChunkTerms<kWarps>::kTokens) {
    const int earlier = pair / kGroups, later = pair % kGroups, end = last(earlier);
    all.between[pair] = earlier < later ? difference(all.G_high[end], all.G_low[end], last(later - 1)) : 0.0F;
  }
}

/// exp(g_j − G_i) / N_i for a pair in one group; 0 for j > i.
template <int kWarps>
__device__ float factor_within_group(const ChunkTerms<kWarps>& all, int i, int j) {
  if (j > i) return 0.0F;
  return fast_exp2((all.g_high[j] - all.G_high[i]) + (all.g_low[j] - all.G_low[i])) * all.inverse[i];
}

/// Takes the rounding of a row's weights P out of its sum δ = Σ P dA again: where one j rules the row, dA − δ cancels.
/// (Where P's signs cancel instead, its sum says nothing of that.)
__device__ inline float without_rounding(float delta, float exact_P, float rounded_P) {
  return fabsf(exact_P - rounded_P) < fabsf(exact_P) / 128 ? delta * (exact_P / rounded_P) : delta;
}

/// Writes row g (half 0) or g + 8 (half 1) of an accumulator, times `factor`, to `to`: its first `columns` columns.
/// Lanes swap halves so that four write 32 bytes of a row.
template <typename T, int kEighths>
__device__ void store_row(T* to, const float (&sum)[kEighths][4], int half, float factor, std::int64_t columns,
                          bool inside) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool odd = lane % 2 != 0;
#pragma unroll
  for (int column = 0; column < 8 * kEighths; column += 16) {
    const float* low = &sum[column / 8][2 * half];
    const float* high = &sum[column / 8 + 1][2 * half];
    const std::uint32_t of_low = pack<T>(factor * low[0], factor * low[1]),
                        of_high = pack<T>(factor * high[0], factor * high[1]);
    const std::uint32_t received = __shfl_xor_sync(kAllLanes, odd ? of_low : of_high, 1);
    if (!inside || column >= columns) continue;
    *reinterpret_cast<uint2*>(to + column + (odd ? 8 : 0) + lane % 4 / 2 * 4) =
        odd ? make_uint2(received, of_high) : make_uint2(of_low, received);
  }
}

}  // namespace axlstm::kernels
