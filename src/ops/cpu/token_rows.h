// Tensors as the row kernels see them.
#pragma once

#include <torch/types.h>

#include "scan.h"

namespace axlstm::ops::cpu {

/// x [tokens, columns], the columns one behind the other.
inline TokenRows<const float> rows(const at::Tensor& x) { return {x.const_data_ptr<float>(), x.stride(0)}; }
inline TokenRows<float> rows_of(const at::Tensor& x) { return {x.data_ptr<float>(), x.stride(0)}; }

}  // namespace axlstm::ops::cpu
