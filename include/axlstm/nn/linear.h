// A linear layer as blocks use it.
#pragma once

#include <torch/nn/modules/linear.h>

#include "axlstm/ops/linear.h"
#include "axlstm/ops/options.h"

namespace axlstm::nn {

/// gelu(x Wᵀ + b): with fused kernels in autocast's dtype where they can run, unless `backend` is kReference.
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     ops::Backend backend, ops::Gelu gelu = ops::Gelu::kNone);

inline torch::Tensor linear(const torch::Tensor& x, const torch::nn::LinearImpl& layer, ops::Backend backend,
                            ops::Gelu gelu = ops::Gelu::kNone) {
  return linear(x, layer.weight, layer.bias, backend, gelu);
}

}  // namespace axlstm::nn
