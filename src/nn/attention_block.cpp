#include "axlstm/nn/attention_block.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/nn/init.h"
#include "axlstm/nn/residual_norm.h"

namespace axlstm::nn {
namespace {

torch::nn::LayerNorm layer_norm(std::int64_t dim) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(1e-6));
}

/// nn::Linear::forward() would add the bias of a product of three dimensions in a pass of its own, of mixed dtypes.
torch::Tensor linear(const torch::nn::Linear& layer, const torch::Tensor& x) {
  return torch::linear(x, layer->weight, layer->bias);
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
  // The three are split first: then their gradients are joined as the matrix product wants them, in one copy.
  const auto qkv = linear(qkv_layer_, x).chunk(3, -1);
  const auto heads = [&](const torch::Tensor& all) { return all.unflatten(-1, {heads_, -1}).transpose(1, 2); };
  const auto mixed = torch::scaled_dot_product_attention(heads(qkv[0]), heads(qkv[1]), heads(qkv[2]));
  return linear(proj_layer_, mixed.transpose(1, 2).flatten(-2));
}

MlpImpl::MlpImpl(std::int64_t dim, std::int64_t hidden_dim, Activation activation)
    : activation_(activation), layer1_(dim, hidden_dim), layer2_(hidden_dim, dim) {
  register_module("layer1", layer1_);
  register_module("layer2", layer2_);
  init_xavier(layer1_);
  init_xavier(layer2_);
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x) {
  return linear(layer2_, torch::gelu(linear(layer1_, x), activation_ == Activation::kGelu ? "none" : "tanh"));
}

AttentionBlockImpl::AttentionBlockImpl(const AttentionBlockOptions& options)
    : backend_(options.backend),
      norm1_(layer_norm(options.dim)),
      attn_(options),
      norm2_(layer_norm(options.dim)),
      mlp_(options.dim, options.mlp_ratio * options.dim, options.activation) {
  register_module("norm1", norm1_);
  register_module("attn", attn_);
  register_module("norm2", norm2_);
  register_module("mlp", mlp_);
}

torch::Tensor AttentionBlockImpl::forward(const torch::Tensor& x) { return forward(ops::ResidualStream{x, {}}).sum(); }

ops::ResidualStream AttentionBlockImpl::forward(const ops::ResidualStream& stream) {
  const auto [x, u1] = residual_norm(stream, norm1_, backend_);
  const auto [attended, u2] = residual_norm({x, attn_->forward(u1)}, norm2_, backend_);
  return {attended, mlp_->forward(u2)};
}

ops::ResidualStream AttentionBlockImpl::forward_scaled(const ops::ResidualStream& stream,
                                                       const torch::Tensor& factors) {
  const auto [x, u1] = residual_norm(stream, norm1_, backend_);
  const auto [attended, u2] = residual_norm({x, scaled(attn_->forward(u1), factors[0])}, norm2_, backend_);
  return {attended, scaled(mlp_->forward(u2), factors[1])};
}

}  // namespace axlstm::nn
