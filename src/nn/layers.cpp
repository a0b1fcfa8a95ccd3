#include "axlstm/nn/layers.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::nn {

ResidualLayerNormImpl::ResidualLayerNormImpl(std::int64_t dim, double eps) : eps_(eps) {
  weight_ = register_parameter("weight", torch::zeros({dim}));
}

torch::Tensor ResidualLayerNormImpl::forward(const torch::Tensor& x) const {
  return torch::layer_norm(x, {x.size(-1)}, weight_ + 1, {}, eps_);
}

MultiHeadLayerNormImpl::MultiHeadLayerNormImpl(std::int64_t inner_dim, double eps) : eps_(eps) {
  weight_ = register_parameter("weight", torch::zeros({inner_dim}));
}

torch::Tensor MultiHeadLayerNormImpl::forward(const torch::Tensor& h) const {
  const auto B = h.size(0), S = h.size(1), NH = h.size(2);
  const auto tokens = h.reshape({B * S, NH * h.size(3)});
  return torch::group_norm(tokens, NH, weight_ + 1, {}, eps_).view({B, S, -1});
}

BlockDiagonalLinearImpl::BlockDiagonalLinearImpl(std::int64_t dim, std::int64_t block_size, double init_std) {
  AXLSTM_CHECK(dim % block_size == 0, "block-diagonal projection: dimension ", dim, " is not a multiple of ",
               block_size);
  weight_ = register_parameter("weight", torch::empty({dim / block_size, block_size, block_size}));
  torch::nn::init::normal_(weight_, 0.0, init_std);
}

torch::Tensor BlockDiagonalLinearImpl::forward(const torch::Tensor& x) const {
  const auto blocks = x.unflatten(-1, {weight_.size(0), weight_.size(1)});  // [B, S, blocks, in]
  return torch::einsum("...hd,hod->...ho", {blocks, weight_}).flatten(-2);
}

CausalConv1dImpl::CausalConv1dImpl(std::int64_t channels, std::int64_t kernel_size)
    : kernel_size_(kernel_size), conv_(torch::nn::Conv1dOptions(channels, channels, kernel_size).groups(channels)) {
  register_module("conv", conv_);
}

torch::Tensor CausalConv1dImpl::forward(const torch::Tensor& x) {
  torch::Tensor before;
  return forward(x, before);
}

torch::Tensor CausalConv1dImpl::forward(const torch::Tensor& x, torch::Tensor& before) {
  const auto x_last = x.transpose(1, 2);  // [B, I, S]
  const auto padded = before.defined() ? torch::cat({before.transpose(1, 2).to(x.dtype()), x_last}, 2)
                                       : torch::constant_pad_nd(x_last, {kernel_size_ - 1, 0});
  before = padded.narrow(2, padded.size(2) - kernel_size_ + 1, kernel_size_ - 1).transpose(1, 2);
  return conv_->forward(padded).transpose(1, 2);
}

}  // namespace axlstm::nn
