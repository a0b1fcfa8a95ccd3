#include "axlstm/nn/residual_norm.h"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

namespace axlstm::nn {

ops::NormedSum residual_norm(const ops::ResidualStream& stream, const torch::nn::LayerNorm& norm,
                             ops::Backend backend) {
  const double eps = norm->options.eps();
  if (backend != ops::Backend::kReference && at::autocast::is_autocast_enabled(at::kCUDA)) {
    const auto dtype = at::autocast::get_autocast_dtype(at::kCUDA);
    if (ops::add_norm_obstacle(stream.x.device(), dtype, stream.x.size(-1)).empty()) {
      return ops::fused_add_norm(stream, norm->weight, norm->bias, eps, dtype);
    }
  }
  return ops::add_norm(stream, norm->weight, norm->bias, eps);
}

}  // namespace axlstm::nn
