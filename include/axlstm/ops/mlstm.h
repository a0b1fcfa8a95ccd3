// The mLSTM cell (paper, eqs. 1–9) behind one function, whatever computes it.
//
// With F_t = Σ_{s≤t} logsigmoid(f_s) and log input gate ĩ, for each batch entry and head:
//   log D_ij = F_i − F_j + ĩ_j  (j ≤ i),   m_i = max_j log D_ij
//   C_ij = (q_i·k_j / √DH) exp(log D_ij − m_i),   n_i = max(|Σ_j C_ij|, exp(−m_i))
//   h_i = Σ_j C_ij v_j / (n_i + eps)
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/options.h"

namespace axlstm::ops {

/// What the recurrent form carries from one step to the next, per batch entry and head. Undefined tensors: the start.
struct MlstmState {
  torch::Tensor C;  ///< [B, NH, DH, DH] matrix memory, rows are keys, scaled by exp(−m)
  torch::Tensor n;  ///< [B, NH, DH] normaliser, scaled by exp(−m)
  torch::Tensor m;  ///< [B, NH] stabiliser; −∞ at the start
};

/// h [B, S, NH, DH] from q, k, v [B, S, NH, DH] and gate preactivations i, f [B, S, NH]; any strides.
/// Gates should be float32 (or float64) also where q, k, v are narrower. Gradients are exact, normaliser included.
/// Throws Error if a shape, dtype or device does not agree with q's.
torch::Tensor mlstm(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const torch::Tensor& i,
                    const torch::Tensor& f, const MlstmOptions& options = {});

/// The same function continued from `state`, which is brought up to the last step: streaming inference. In parallel
/// over the tokens, unless the backend is kRecurrent; in the gates' precision, whatever autocast says.
torch::Tensor mlstm_stream(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                           const torch::Tensor& i, const torch::Tensor& f, MlstmState& state,
                           const MlstmOptions& options = {});

/// Why the backend kCell cannot take inputs of this kind; empty if it can. On the CPU it needs float32; on a GPU a
/// build with CUDA, float32, float16 or bfloat16 and a head dim that is a multiple of 16 up to 768.
std::string cell_kernel_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t head_dim);

}  // namespace axlstm::ops
