// Sine–cosine positions (the MAE recipe).
#pragma once

#include <torch/types.h>

namespace axlstm::nn {

/// [1, 1 + rows·columns, dim] float32; the class token's row is zero. The first dim/2 channels encode the column
/// (frequency) index, the last dim/2 the row (time) index; each half is sines, then cosines, of index ·
/// 10000^(−4k/dim). Throws Error unless dim is a multiple of 4.
torch::Tensor sincos_positions(std::int64_t dim, std::int64_t rows, std::int64_t columns);

/// [1, length, dim] float32 along one axis: sines, then cosines, of index · 10000^(−2k/dim). Throws Error unless dim is
/// even.
torch::Tensor sincos_sequence(std::int64_t dim, std::int64_t length);

}  // namespace axlstm::nn
