// What every residual block of an encoder is.
#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "axlstm/ops/residual_stream.h"

namespace axlstm::nn {

/// What a block carries from one piece of a sequence to the next; empty at the start.
using BlockState = std::vector<torch::Tensor>;

class Block : public torch::nn::Module {
 public:
  /// One block on a residual stream [B, S, D] of any length S ≥ 1, whose last addition may still be open: fused kernels
  /// take it as it is.
  virtual ops::ResidualStream forward(const ops::ResidualStream& stream) = 0;

  /// How many additions to the stream a block is made of.
  virtual std::int64_t branches() const { return 1; }

  /// The same with each addition multiplied by a factor of its clip: `factors` [branches(), B], 0 where drop path
  /// leaves it out.
  virtual ops::ResidualStream forward_scaled(const ops::ResidualStream& stream, const torch::Tensor& factors);

  /// Whether a state of fixed size holds all that later tokens see of earlier ones.
  virtual bool carries() const { return false; }

  /// forward() of the next piece of a sequence, continued from `state`, which is brought up to the last token. Throws
  /// Error unless carries().
  virtual ops::ResidualStream forward_carried(const ops::ResidualStream& stream, BlockState& state);
};

/// x [B, S, D] with each clip multiplied by its factor [B].
torch::Tensor scaled(const torch::Tensor& x, const torch::Tensor& factor);

}  // namespace axlstm::nn
