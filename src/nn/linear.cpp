#include "axlstm/nn/linear.h"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

namespace axlstm::nn {

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                     ops::Backend backend, ops::Gelu gelu) {
  if (backend != ops::Backend::kReference && at::autocast::is_autocast_enabled(at::kCUDA)) {
    const auto dtype = at::autocast::get_autocast_dtype(at::kCUDA);
    if (ops::linear_obstacle(x.device(), dtype, weight.size(0)).empty())
      return ops::fused_linear(x, weight, bias, gelu, dtype);
  }
  return ops::linear(x, weight, bias, gelu);
}

}  // namespace axlstm::nn
