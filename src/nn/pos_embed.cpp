#include "axlstm/nn/pos_embed.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::nn {

torch::Tensor sincos_positions(std::int64_t dim, std::int64_t rows, std::int64_t columns) {
  AXLSTM_CHECK(dim > 0 && dim % 4 == 0, "positions: the width must be a multiple of 4, got ", dim);
  const auto options = torch::dtype(torch::kFloat64);
  const auto omega = torch::pow(10000.0, -torch::arange(dim / 4, options) / (dim / 4.0));
  const auto encode = [&](std::int64_t count) {  // [count, dim/2]
    const auto angles = torch::outer(torch::arange(count, options), omega);
    return torch::cat({angles.sin(), angles.cos()}, 1);
  };
  const auto by_column = encode(columns).unsqueeze(0).expand({rows, -1, -1});
  const auto by_row = encode(rows).unsqueeze(1).expand({-1, columns, -1});
  const auto grid = torch::cat({by_column, by_row}, -1).reshape({rows * columns, dim});
  return torch::cat({torch::zeros({1, dim}, options), grid}).to(torch::kFloat32).unsqueeze(0);
}

}  // namespace axlstm::nn
