#include "axlstm/ops/linear.h"

#include <torch/torch.h>

namespace axlstm::ops {

/// nn::Linear::forward() would add the bias of a product of three dimensions in a pass of its own, of mixed dtypes.
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, Gelu gelu) {
  const auto product = torch::linear(x, weight, bias);
  return gelu == Gelu::kNone ? product : torch::gelu(product, gelu == Gelu::kErf ? "none" : "tanh");
}

}  // namespace axlstm::ops
