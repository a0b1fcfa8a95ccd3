#include "axlstm/ops/residual_stream.h"

#include <torch/torch.h>

namespace axlstm::ops {

torch::Tensor ResidualStream::sum() const {
  if (!delta.defined()) return x;
  return x + (reversed ? delta.flip(1) : delta);
}

}  // namespace axlstm::ops
