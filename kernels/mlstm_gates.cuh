// The gates' part of one entry of C, and of one row's normaliser.
#pragma once

#include "mlstm_params.h"

namespace axlstm::kernels {

constexpr unsigned kAllLanes = 0xffffffffU;
constexpr int kWarp = 32;

/// exp(g_j − G_i) for j ≤ i, else 0: the gate factor of C_ij, at most 1. `base` is where the head's tokens begin.
__device__ inline float gate_factor(const GateState& gates, std::int64_t base, std::int64_t i, std::int64_t j,
                                    std::int64_t S) {
  if (j > i || i >= S) return 0.0F;
  return expf((gates.g_high[base + j] - gates.G_high[base + i]) + (gates.g_low[base + j] - gates.G_low[base + i]));
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

}  // namespace axlstm::kernels
