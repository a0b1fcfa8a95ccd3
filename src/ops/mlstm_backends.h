// The implementations behind ops::mlstm. Inputs are checked; log_i is the log input gate, log_f = logsigmoid(f).
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/mlstm.h"
#include "axlstm/ops/mlstm_block.h"

namespace axlstm::ops {

/// O(S²) memory; autograd gives the exact gradient. q, k, v [B, S, NH, DH]; log_i, log_f [B, S, NH].
/// Continues from `state` and updates it, if there is one.
torch::Tensor mlstm_reference(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                              const torch::Tensor& log_i, const torch::Tensor& log_f, double eps,
                              MlstmState* state = nullptr);

/// Throws Error if a state is not of the batch, heads and head dim of q.
void check_state(const MlstmState& state, const torch::Tensor& q);

/// O(S) steps of O(DH²); updates `state`.
torch::Tensor mlstm_recurrent(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                              const torch::Tensor& log_i, const torch::Tensor& log_f, double eps, MlstmState& state);

/// The CUDA kernels, with their exact backward pass; no S×S tensor in memory. i, f are preactivations. Only where
/// cuda_cell_obstacle() is empty.
torch::Tensor mlstm_cell_kernel(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                const torch::Tensor& i, const torch::Tensor& f, const MlstmOptions& options);

std::string cuda_cell_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t head_dim);

/// The same on the CPU, in float32.
torch::Tensor mlstm_cell_cpu(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                             const torch::Tensor& i, const torch::Tensor& f, const MlstmOptions& options);

/// The whole block by CUDA kernels, and on the CPU; contracts of fused_mlstm_block() and fused_block_obstacle().
ResidualStream cuda_mlstm_block(const ResidualStream& stream, const BlockWeights& weights, const BlockOptions& options);
std::string cuda_block_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
                                std::int64_t inner_dim, std::int64_t heads);
ResidualStream cpu_mlstm_block(const ResidualStream& stream, const BlockWeights& weights, const BlockOptions& options);
std::string cpu_block_obstacle(torch::ScalarType dtype, std::int64_t dim, std::int64_t inner_dim, std::int64_t heads);

}  // namespace axlstm::ops
