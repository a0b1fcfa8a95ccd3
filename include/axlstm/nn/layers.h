// The small layers of a Vision-LSTM block. Parameter names equal the PyTorch state-dict keys.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

namespace axlstm::nn {

/// LayerNorm over the last dimension whose weight is stored as a residual: y = x̂ ⊙ (1 + weight); no bias.
class ResidualLayerNormImpl : public torch::nn::Module {
 public:
  explicit ResidualLayerNormImpl(std::int64_t dim, double eps = 1e-5);
  torch::Tensor forward(const torch::Tensor& x) const;  // [..., D] → [..., D]
  const torch::Tensor& weight() const { return weight_; }

 private:
  double eps_;
  torch::Tensor weight_;  // [D], starts at 0
};
TORCH_MODULE(ResidualLayerNorm);

/// Normalises each token's heads separately (a GroupNorm over DH); weight stored as a residual, no bias.
class MultiHeadLayerNormImpl : public torch::nn::Module {
 public:
  explicit MultiHeadLayerNormImpl(std::int64_t inner_dim, double eps = 1e-5);
  torch::Tensor forward(const torch::Tensor& h) const;  // [B, S, NH, DH] → [B, S, I]
  const torch::Tensor& weight() const { return weight_; }

 private:
  double eps_;
  torch::Tensor weight_;  // [I], starts at 0
};
TORCH_MODULE(MultiHeadLayerNorm);

/// Block-diagonal linear map: `blocks` square blocks, no bias.
class BlockDiagonalLinearImpl : public torch::nn::Module {
 public:
  BlockDiagonalLinearImpl(std::int64_t dim, std::int64_t block_size, double init_std);
  torch::Tensor forward(const torch::Tensor& x) const;  // [B, S, I] → [B, S, I]
  const torch::Tensor& weight() const { return weight_; }

 private:
  torch::Tensor weight_;  // [I/block, block (out), block (in)], starts normal
};
TORCH_MODULE(BlockDiagonalLinear);

/// Depthwise convolution over time that sees the present and the past only (left padding kernel − 1), with bias.
class CausalConv1dImpl : public torch::nn::Module {
 public:
  CausalConv1dImpl(std::int64_t channels, std::int64_t kernel_size);
  torch::Tensor forward(const torch::Tensor& x);  // [B, S, I] → [B, S, I]

  /// The same behind the inputs `before` [B, kernel − 1, I], undefined at the start; they are brought up to the last.
  torch::Tensor forward(const torch::Tensor& x, torch::Tensor& before);
  const torch::Tensor& weight() const { return conv_->weight; }
  const torch::Tensor& bias() const { return conv_->bias; }

 private:
  std::int64_t kernel_size_;
  torch::nn::Conv1d conv_;
};
TORCH_MODULE(CausalConv1d);

}  // namespace axlstm::nn
