// Some tokens of all.
#pragma once

#include <torch/types.h>

namespace axlstm::model {

/// Rows of x [R, D], none twice. The gradient is a copy into zeros, without the atomic additions of index_select's.
torch::Tensor select_rows(const torch::Tensor& x, const torch::Tensor& rows);

}  // namespace axlstm::model
