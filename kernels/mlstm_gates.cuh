// The gates' part of one entry of C, and of one row's normaliser.
#pragma once

#include "mlstm_params.h"
#include "warp.cuh"

namespace axlstm::kernels {

/// exp(g_j − G_i) for j ≤ i, else 0: the gate factor of C_ij, at most 1. `base` is where the head's tokens begin.
__device__ inline float gate_factor(const GateState& state, std::int64_t base, std::int64_t i, std::int64_t j,
                                    std::int64_t S) {
  if (j > i || i >= S) return 0.0F;
  return exp2f((state.g_high[base + j] - state.G_high[base + i]) + (state.g_low[base + j] - state.G_low[base + i]));
}

/// What the backward pass needs of a token's normaliser N = max(|n|, exp(−m)) + eps.
struct Normaliser {
  float inverse;  ///< 1 / N
  float sign;     ///< sign(n) where |n| decides the maximum, else 0
};

__device__ inline Normaliser normaliser(float n, float bound, float eps) {
  const bool sum_decides = fabsf(n) > bound;
  return {1.0F / (fmaxf(fabsf(n), bound) + eps), sum_decides ? copysignf(1.0F, n) : 0.0F};
}

/// Stores what the backward pass needs of row `at` of [B, NH, S], with δ = Σ_j C_ij (dh_i·v_j) / N_i. (dh_i·h_i would
/// be the same, but h is rounded, and the terms dh_i·v_j − s_i δ_i cancel where one j rules a row.)
__device__ inline void store_row_terms(const RowTerms& rows, std::int64_t at, float delta, const Normaliser& norm) {
  rows.delta[at] = delta;
  rows.inverse[at] = norm.inverse;
  rows.signed_delta[at] = norm.sign * delta;
}

}  // namespace axlstm::kernels
