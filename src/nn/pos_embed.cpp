#include "axlstm/nn/pos_embed.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::nn {
namespace {

/// [count, width] float64: sines, then cosines, of index · 10000^(−2k/width).
torch::Tensor sincos(std::int64_t count, std::int64_t width) {
  const auto options = torch::dtype(torch::kFloat64);
  const auto omega = torch::pow(10000.0, -torch::arange(width / 2, options) / (static_cast<double>(width) / 2.0));
  const auto angles = torch::outer(torch::arange(count, options), omega);
  return torch::cat({angles.sin(), angles.cos()}, 1);
}

}  // namespace

torch::Tensor sincos_positions(std::int64_t dim, std::int64_t rows, std::int64_t columns) {
  AXLSTM_CHECK(dim > 0 && dim % 4 == 0, "positions: the width must be a multiple of 4, got ", dim);
  const auto by_column = sincos(columns, dim / 2).unsqueeze(0).expand({rows, -1, -1});
  const auto by_row = sincos(rows, dim / 2).unsqueeze(1).expand({-1, columns, -1});
  const auto grid = torch::cat({by_column, by_row}, -1).reshape({rows * columns, dim});
  return torch::cat({torch::zeros({1, dim}, grid.options()), grid}).to(torch::kFloat32).unsqueeze(0);
}

torch::Tensor sincos_sequence(std::int64_t dim, std::int64_t length) {
  AXLSTM_CHECK(dim > 0 && dim % 2 == 0, "positions: the width must be even, got ", dim);
  return sincos(length, dim).to(torch::kFloat32).unsqueeze(0);
}

}  // namespace axlstm::nn
