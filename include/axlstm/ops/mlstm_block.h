// A whole block of AxLSTM in one operation: everything between its two matrix products in fused CUDA kernels, or on the
// CPU in vector code, which move a fraction of the bytes that one LibTorch operator after the other does.
//
//   sum = x + delta;   u = LN(sum);   [a, z] = W_up u;   c = SiLU(conv(a));   q, k = blockdiag(c);   v = blockdiag(a)
//   i, f = W_i [q; k; v] + b_i, …;   h = cell(q, k, v, i, f);   delta' = W_down((GN(h) + skip ⊙ c) ⊙ SiLU(z))
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/options.h"
#include "axlstm/ops/residual_stream.h"

namespace axlstm::ops {

/// Parameters of a block, named and shaped as in nn::MlstmBlock.
struct BlockWeights {
  torch::Tensor norm;                      ///< [D]
  torch::Tensor proj_up;                   ///< [2I, D]
  torch::Tensor conv_weight, conv_bias;    ///< [I, 1, 4], [I]
  torch::Tensor q_proj, k_proj, v_proj;    ///< [I/4, 4, 4]
  torch::Tensor igate_weight, igate_bias;  ///< [4, 3I], [4]
  torch::Tensor fgate_weight, fgate_bias;  ///< [4, 3I], [4]
  torch::Tensor outnorm;                   ///< [I]
  torch::Tensor skip;                      ///< [I]
  torch::Tensor proj_down;                 ///< [D, I]
};

struct BlockOptions {
  bool reverse = false;  ///< run from the last token to the first
  InputGate input_gate = InputGate::kExponential;
  torch::ScalarType dtype = torch::kBFloat16;  ///< of what is stored between the products; on the CPU float32
  bool recompute = false;  ///< compute c, q, k, v again in the backward pass instead of keeping them
  Isa isa = Isa::kAuto;    ///< of the cell
  double eps = 1e-6;       ///< added to the cell's normaliser
};

/// Why the fused block cannot run; empty if it can. It needs four heads of a multiple of 16 channels, and on a GPU a
/// build with CUDA, float16 or bfloat16, an even D up to 1280 and heads of up to 768; on the CPU float32 and a D that
/// is a multiple of 16.
std::string fused_block_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
                                 std::int64_t inner_dim, std::int64_t heads);

/// What computes blocks of this kind: `wanted`, or for kAuto the fastest that can. Throws UsageError naming the key
/// kernel.backend and the obstacle if `wanted` cannot run.
Backend resolve_backend(Backend wanted, const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
                        std::int64_t inner_dim, std::int64_t heads);

/// The instructions that the cell's kernels use for a sequence of `tokens`: `wanted`, or for kAuto the faster ones that
/// can run. Throws UsageError naming the key kernel.isa and the obstacle if `wanted` cannot run.
Isa resolve_isa(Isa wanted, const torch::Device& device, torch::ScalarType dtype, std::int64_t tokens);

/// One block; x float32. Gradients are exact but for rounding: on a GPU products take weights in the narrow type (those
/// of the gates in two parts on the way in), gates and sums are float32. Results are deterministic, on the CPU for a
/// number of threads. Without gradient mode nothing is kept for a backward pass on the CPU. Only where
/// fused_block_obstacle() is empty. Throws Error where the gates' or q's, k's, v's weights have another shape.
ResidualStream fused_mlstm_block(const ResidualStream& stream, const BlockWeights& weights,
                                 const BlockOptions& options);

}  // namespace axlstm::ops
