// One block of AxLSTM: x + layer(norm(x)), as in Vision-LSTM (paper, section 2.2 and figure 1).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include "axlstm/nn/block.h"
#include "axlstm/nn/layers.h"
#include "axlstm/nn/mlstm_cell.h"
#include "axlstm/nn/options.h"
#include "axlstm/ops/mlstm_block.h"

namespace axlstm::nn {

struct MlstmBlockOptions {
  std::int64_t dim = 192;      ///< D
  std::int64_t expansion = 3;  ///< E; the inner width I is E·D
  bool reverse = false;        ///< run the layer from the last token to the first
  bool recompute = false;      ///< fused blocks: less memory for about a tenth more time
  ops::MlstmOptions cell;
};

/// y = W_down((cell(q, k, v) + skip ⊙ c) ⊙ SiLU(z)) with [a, z] = W_up u, c = SiLU(conv(a)), q, k from c and v from a.
class MlstmLayerImpl : public torch::nn::Module {
 public:
  explicit MlstmLayerImpl(const MlstmBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& u);  // [B, S, D] → [B, S, D]

  /// The same continued from `state`: C, n and m of the cell, and the convolution's last inputs.
  torch::Tensor forward(const torch::Tensor& u, BlockState& state);

  /// Fills in all weights but those of the norm.
  void collect_weights(ops::BlockWeights& weights) const;

 private:
  /// `conv` is the convolution of a [B, S, I], `cell` the cell of q, k, v.
  template <typename Convolution, typename Cell>
  torch::Tensor around(const torch::Tensor& u, const Convolution& conv, const Cell& cell);

  torch::nn::Linear proj_up_;  // D → 2I
  CausalConv1d conv1d_;
  BlockDiagonalLinear q_proj_, k_proj_, v_proj_;
  MlstmCell mlstm_cell_;
  torch::Tensor learnable_skip_;  // [I], starts at 1
  torch::nn::Linear proj_down_;   // I → D
};
TORCH_MODULE(MlstmLayer);

class MlstmBlockImpl : public Block {
 public:
  explicit MlstmBlockImpl(const MlstmBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, S, D] → [B, S, D]

  /// The same on a residual stream whose last addition is still open, which the fused kernels take as it is. They are
  /// used where the backend allows them and type and shapes fit: a narrow type under autocast on a GPU, float32 on the
  /// CPU. Throws UsageError if the backend is kFused and they cannot be.
  ops::ResidualStream forward(const ops::ResidualStream& stream) override;

  /// By LibTorch's operators, whatever the backend.
  bool carries() const override { return !options_.reverse; }
  ops::ResidualStream forward_carried(const ops::ResidualStream& stream, BlockState& state) override;

  ops::BlockWeights weights() const;

 private:
  MlstmBlockOptions options_;
  ResidualLayerNorm norm_;
  MlstmLayer layer_;
};
TORCH_MODULE(MlstmBlock);

}  // namespace axlstm::nn
