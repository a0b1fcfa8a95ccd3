// The residual stream on its way into a layer: what the last layer found is added, and the sum normalised, in one pass
// over memory where a GPU computes in a narrow type.
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/residual_stream.h"

namespace axlstm::ops {

struct NormedSum {
  torch::Tensor sum;     ///< x + delta [B, S, D]
  torch::Tensor normed;  ///< LayerNorm(sum) ⊙ weight + bias [B, S, D]
};

/// Why the fused kernel cannot run (it needs a build with CUDA, a GPU, float16 or bfloat16 and an even D up to 1280);
/// empty if it can.
std::string add_norm_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t dim);

/// By LibTorch's operators; weight, bias [D].
NormedSum add_norm(const ResidualStream& stream, const torch::Tensor& weight, const torch::Tensor& bias, double eps);

/// The same by one kernel, `normed` in `dtype`, sum and statistics float32. Gradients are exact and deterministic. Only
/// where add_norm_obstacle() is empty.
NormedSum fused_add_norm(const ResidualStream& stream, const torch::Tensor& weight, const torch::Tensor& bias,
                         double eps, torch::ScalarType dtype);

}  // namespace axlstm::ops
