#include "axlstm/ops/add_norm.h"

#include <torch/torch.h>

namespace axlstm::ops {

NormedSum add_norm(const ResidualStream& stream, const torch::Tensor& weight, const torch::Tensor& bias, double eps) {
  const auto sum = stream.sum();
  return {sum, torch::layer_norm(sum, {sum.size(-1)}, weight, bias, eps)};
}

}  // namespace axlstm::ops
