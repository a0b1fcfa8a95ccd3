// Some tokens of all.
#pragma once

#include <torch/types.h>

namespace axlstm::model {

/// Rows of x [R, D], none twice. The gradient is a copy into zeros, without the atomic additions of index_select's.
torch::Tensor select_rows(const torch::Tensor& x, const torch::Tensor& rows);

/// The positions [N, D] of rows of [clips, N], none twice; the gradient is added up in a fixed order.
torch::Tensor positions_of(const torch::Tensor& positions, const torch::Tensor& rows, std::int64_t clips);

/// [clips, N, W]: `seen` [R, W] in its rows of [clips, N], none twice, `token` [W] in all others, and positions [N, W]
/// added to all. Once through memory, and once back: as operators it would be thrice. Wide as positions are.
torch::Tensor fill_in(const torch::Tensor& seen, const torch::Tensor& token, const torch::Tensor& positions,
                      const torch::Tensor& rows, std::int64_t clips);

}  // namespace axlstm::model
