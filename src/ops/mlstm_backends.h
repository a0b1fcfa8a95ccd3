// The implementations behind ops::mlstm. Inputs are checked; log_i is the log input gate, log_f = logsigmoid(f).
#pragma once

#include <torch/types.h>

#include "axlstm/ops/mlstm.h"

namespace axlstm::ops {

/// O(S²) memory; autograd gives the exact gradient. q, k, v [B, S, NH, DH]; log_i, log_f [B, S, NH].
torch::Tensor mlstm_reference(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                              const torch::Tensor& log_i, const torch::Tensor& log_f, double eps);

/// O(S) steps of O(DH²); updates `state`.
torch::Tensor mlstm_recurrent(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                              const torch::Tensor& log_i, const torch::Tensor& log_f, double eps, MlstmState& state);

/// The CUDA kernels, with their exact backward pass; no S×S tensor in memory. i, f are preactivations. Only where
/// cell_kernel_obstacle() is empty.
torch::Tensor mlstm_cell_kernel(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                const torch::Tensor& i, const torch::Tensor& f, const MlstmOptions& options);

}  // namespace axlstm::ops
