// The mLSTM cell as a module: gates from q, k, v; the cell; the head norm.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include "axlstm/nn/layers.h"
#include "axlstm/ops/mlstm.h"
#include "axlstm/ops/mlstm_block.h"
#include "axlstm/ops/options.h"

namespace axlstm::nn {

class MlstmCellImpl : public torch::nn::Module {
 public:
  /// Gate weights start at 0; input-gate bias normal(0, 0.1), forget-gate bias linspace(3, 6) over the heads.
  MlstmCellImpl(std::int64_t inner_dim, std::int64_t heads, const ops::MlstmOptions& options);

  /// q, k, v [B, S, I] → normalised h [B, S, I].
  torch::Tensor forward(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v);

  /// The same continued from `state`, which is brought up to the last token.
  torch::Tensor forward(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, ops::MlstmState& state);

  /// Fills in the gates' and the norm's part of a block's weights.
  void collect_weights(ops::BlockWeights& weights) const;

 private:
  /// `cell` computes h [B, S, NH, DH] from q, k, v and the gates.
  template <typename Cell>
  torch::Tensor around(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Cell& cell);

  std::int64_t heads_;
  ops::MlstmOptions options_;
  torch::nn::Linear igate_, fgate_;  // 3I → NH
  MultiHeadLayerNorm outnorm_;
};
TORCH_MODULE(MlstmCell);

}  // namespace axlstm::nn
