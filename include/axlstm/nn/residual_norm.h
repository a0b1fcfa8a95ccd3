// The norm that a block begins with.
#pragma once

#include <torch/nn/modules/normalization.h>

#include "axlstm/ops/add_norm.h"
#include "axlstm/ops/options.h"

namespace axlstm::nn {

/// The stream's sum and its norm: by one kernel in autocast's dtype where that can run, unless `backend` is kReference.
ops::NormedSum residual_norm(const ops::ResidualStream& stream, const torch::nn::LayerNorm& norm, ops::Backend backend);

}  // namespace axlstm::nn
