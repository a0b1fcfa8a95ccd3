// What flows between blocks.
#pragma once

#include <torch/types.h>

namespace axlstm::ops {

/// The residual stream: x + delta, not yet added, since the next block's norm reads both anyway.
struct ResidualStream {
  torch::Tensor x;        ///< [B, S, D]
  torch::Tensor delta;    ///< [B, S, D], what the last layer found; undefined: nothing
  bool reversed = false;  ///< delta runs from the last token to the first

  /// x + delta, [B, S, D].
  torch::Tensor sum() const;
};

}  // namespace axlstm::ops
