#include "axlstm/nn/block.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::nn {

torch::Tensor scaled(const torch::Tensor& x, const torch::Tensor& factor) {
  return x * factor.to(x.scalar_type()).view({-1, 1, 1});
}

ops::ResidualStream Block::forward_scaled(const ops::ResidualStream& stream, const torch::Tensor& factors) {
  auto out = forward(stream);
  if (out.delta.defined()) return {out.x, scaled(out.delta, factors[0]), out.reversed};
  const auto x = stream.sum();  // of a block that adds by itself
  return {x, scaled(out.x - x, factors[0])};
}

ops::ResidualStream Block::forward_carried(const ops::ResidualStream&, BlockState&) {
  throw Error("this block carries no state from one piece of a sequence to the next");
}

}  // namespace axlstm::nn
