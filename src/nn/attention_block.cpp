#include "axlstm/nn/attention_block.h"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/nn/init.h"

namespace axlstm::nn {
namespace {

torch::nn::LayerNorm layer_norm(std::int64_t dim) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(1e-6));
}

}  // namespace

AttentionImpl::AttentionImpl(const AttentionBlockOptions& options)
    : heads_(options.heads), qkv_layer_(options.dim, 3 * options.dim), proj_layer_(options.dim, options.dim) {
  AXLSTM_CHECK(options.dim % options.heads == 0, "attention: width ", options.dim, " is not a multiple of the ",
               options.heads, " heads");
  register_module("qkv_layer", qkv_layer_);
  register_module("proj_layer", proj_layer_);
  init_xavier(qkv_layer_);
  init_xavier(proj_layer_);
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x) {
  // unbind, whose gradient is one tensor written once; that of three selections would be three tensors and their sum.
  const auto qkv = qkv_layer_->forward(x).unflatten(-1, {3, heads_, -1}).permute({2, 0, 3, 1, 4}).unbind(0);
  const auto mixed = torch::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
  return proj_layer_->forward(mixed.transpose(1, 2).flatten(-2));
}

MlpImpl::MlpImpl(std::int64_t dim, std::int64_t hidden_dim) : layer1_(dim, hidden_dim), layer2_(hidden_dim, dim) {
  register_module("layer1", layer1_);
  register_module("layer2", layer2_);
  init_xavier(layer1_);
  init_xavier(layer2_);
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x) { return layer2_->forward(torch::gelu(layer1_->forward(x))); }

AttentionBlockImpl::AttentionBlockImpl(const AttentionBlockOptions& options)
    : backend_(options.backend),
      norm1_(layer_norm(options.dim)),
      attn_(options),
      norm2_(layer_norm(options.dim)),
      mlp_(options.dim, options.mlp_ratio * options.dim) {
  register_module("norm1", norm1_);
  register_module("attn", attn_);
  register_module("norm2", norm2_);
  register_module("mlp", mlp_);
}

torch::Tensor AttentionBlockImpl::forward(const torch::Tensor& x) { return forward(ops::ResidualStream{x, {}}).sum(); }

ops::ResidualStream AttentionBlockImpl::forward(const ops::ResidualStream& stream) {
  const auto [x, u1] = normed(stream, norm1_);
  const auto [attended, u2] = normed({x, attn_->forward(u1)}, norm2_);
  return {attended, mlp_->forward(u2)};
}

ops::NormedSum AttentionBlockImpl::normed(const ops::ResidualStream& stream, const torch::nn::LayerNorm& norm) const {
  const double eps = norm->options.eps();
  if (backend_ != ops::Backend::kReference && at::autocast::is_autocast_enabled(at::kCUDA)) {
    const auto dtype = at::autocast::get_autocast_dtype(at::kCUDA);
    if (ops::add_norm_obstacle(stream.x.device(), dtype, stream.x.size(-1)).empty()) {
      return ops::fused_add_norm(stream, norm->weight, norm->bias, eps, dtype);
    }
  }
  return ops::add_norm(stream, norm->weight, norm->bias, eps);
}

}  // namespace axlstm::nn
