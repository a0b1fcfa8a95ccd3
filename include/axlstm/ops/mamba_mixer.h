// What a Mamba block computes between its first and its last matrix product (Gu and Dao, 2023, figure 3):
//
//   [a, z] = az;   c = SiLU(conv(a));   [δ, B, C] = W_x c;   y = selective scan of c, W_dt δ, A = −exp(A_log), B, C, D,
//   z
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/options.h"

namespace axlstm::ops {

/// Parameters, named and shaped as in nn::MambaMixer. R is the rank of the steps Δ, N the size of the state.
struct MixerWeights {
  torch::Tensor conv_weight, conv_bias;        ///< [I, 1, 4], [I]
  torch::Tensor x_proj;                        ///< [R + 2N, I]
  torch::Tensor dt_proj_weight, dt_proj_bias;  ///< [I, R], [I]
  torch::Tensor A_log;                         ///< [I, N]
  torch::Tensor D;                             ///< [I]
};

/// y [B, S, I] of az [B, S, 2I]. Gradients are exact, and deterministic, on the CPU for a number of threads. By
/// `backend`, as resolve_mixer_backend() returns it.
torch::Tensor mamba_mixer(const torch::Tensor& az, const MixerWeights& weights, Backend backend);

/// What computes mixers of this kind: kReference and kRecurrent LibTorch's operators, kCell own code for the scan,
/// kFused for all; kAuto is the fastest that can. Throws UsageError naming the key kernel.backend and the obstacle if
/// `wanted` cannot run.
Backend resolve_mixer_backend(Backend wanted, const torch::Device& device, torch::ScalarType dtype, std::int64_t width,
                              std::int64_t states);

}  // namespace axlstm::ops
