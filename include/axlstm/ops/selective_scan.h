// The selective scan of Mamba (Gu and Dao, 2023) with the skip and the gate that follow it, whatever computes it.
//
//   Δ_t = softplus(delta_t + delta_bias)                    [I]
//   h_t = exp(Δ_t A) ⊙ h_{t−1} + (Δ_t ⊙ u_t) B_tᵀ           [I, N], h_{−1} = 0
//   y_t = (h_t C_t + D ⊙ u_t) ⊙ SiLU(z_t)                   [I]
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/options.h"

namespace axlstm::ops {

struct ScanInputs {
  torch::Tensor u, delta;    ///< [B, S, I]
  torch::Tensor A;           ///< [I, N], all below 0
  torch::Tensor B, C;        ///< [B, S, N], the same for all channels
  torch::Tensor D;           ///< [I]
  torch::Tensor z;           ///< [B, S, I]
  torch::Tensor delta_bias;  ///< [I]
};

/// y [B, S, I] in u's dtype; sums and exponentials are float32, or float64 for float64. Gradients are exact. kReference
/// and kRecurrent: LibTorch's operators, one step at a time; kCell, kFused: own code; kAuto: own code if it can.
/// Throws Error if a shape or device does not agree with u's, or own code is wanted and cannot run.
torch::Tensor selective_scan(const ScanInputs& inputs, Backend backend = Backend::kAuto);

/// The same by LibTorch's operators, continued from `state` [B, I, N] (undefined: zeros), which is brought up to the
/// last step.
torch::Tensor selective_scan_stream(const ScanInputs& inputs, torch::Tensor& state);

/// Why own code cannot take inputs of this kind; empty if it can. It needs a width I that is a multiple of 16 and
/// at most 64 states N; on the CPU float32, on a GPU a build with CUDA and float32, float16 or bfloat16.
std::string scan_kernel_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t width,
                                 std::int64_t states);

}  // namespace axlstm::ops
