#include "axlstm/nn/window_attention_block.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/nn/init.h"
#include "axlstm/nn/linear.h"
#include "axlstm/nn/residual_norm.h"

namespace axlstm::nn {
namespace {

/// Of the released code's tables.
constexpr double kTableVariance = 0.02;

torch::nn::LayerNorm layer_norm(std::int64_t dim) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(1e-6));
}

}  // namespace

WindowAttentionImpl::WindowAttentionImpl(const WindowAttentionOptions& options)
    : backend_(options.backend),
      heads_{options.windows, {}},
      qkv_(options.dim, 3 * options.dim),
      proj_(options.dim, options.dim) {
  const auto heads = static_cast<std::int64_t>(heads_.windows.size());
  AXLSTM_CHECK(heads > 0 && options.dim % heads == 0, "window attention: width ", options.dim,
               " is not a multiple of the ", heads, " heads");
  register_module("qkv", qkv_);
  init_xavier(qkv_);
  torch::nn::ModuleList list;
  for (const std::int64_t window : heads_.windows) {
    auto head = std::make_shared<torch::nn::Module>();
    heads_.tables.emplace_back();
    if (window > 0) {
      const std::int64_t size = 2 * window - 1;
      const auto table = truncated_normal({size, 1}, kTableVariance / static_cast<double>(size));
      heads_.tables.back() = head->register_parameter("relative_position_bias_table", table);
    }
    list->push_back(head);
  }
  register_module("attn_heads", list);
  register_module("proj", proj_);
  init_xavier(proj_);
}

torch::Tensor WindowAttentionImpl::forward(const torch::Tensor& x) {
  const auto mixed = ops::window_attention(linear(x, *qkv_, backend_), heads_, backend_);
  return linear(mixed, *proj_, backend_);
}

WindowAttentionBlockImpl::WindowAttentionBlockImpl(const WindowAttentionOptions& options)
    : backend_(options.backend),
      norm1_(layer_norm(options.dim)),
      attn_(options),
      norm2_(layer_norm(options.dim)),
      mlp_(options.dim, options.mlp_ratio * options.dim, options.activation, options.backend) {
  register_module("norm1", norm1_);
  register_module("attn", attn_);
  register_module("norm2", norm2_);
  register_module("mlp", mlp_);
}

ops::ResidualStream WindowAttentionBlockImpl::forward(const ops::ResidualStream& stream) {
  const auto [x, u1] = residual_norm(stream, norm1_, backend_);
  const auto [attended, u2] = residual_norm({x, attn_->forward(u1)}, norm2_, backend_);
  return {attended, mlp_->forward(u2)};
}

}  // namespace axlstm::nn
