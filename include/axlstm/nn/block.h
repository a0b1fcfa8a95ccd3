// What every residual block of an encoder is.
#pragma once

#include <torch/nn/module.h>

#include "axlstm/ops/residual_stream.h"

namespace axlstm::nn {

class Block : public torch::nn::Module {
 public:
  /// One block on a residual stream [B, S, D] of any length S ≥ 1, whose last addition may still be open: fused kernels
  /// take it as it is.
  virtual ops::ResidualStream forward(const ops::ResidualStream& stream) = 0;
};

}  // namespace axlstm::nn
