#include "axlstm/nn/window_attention_block.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "axlstm/core/error.h"
#include "axlstm/nn/init.h"
#include "axlstm/nn/residual_norm.h"

namespace axlstm::nn {
namespace {

/// Of the released code's tables.
constexpr double kTableVariance = 0.02;

torch::nn::LayerNorm layer_norm(std::int64_t dim) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}).eps(1e-6));
}

/// q, k, v [B, H, S, DH] of heads that share a window → [B, H, S, DH].
torch::Tensor attend_within(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                            const torch::Tensor& table) {
  const std::int64_t window = (table.size(0) + 1) / 2;
  const auto windows = [&](const torch::Tensor& x) { return x.unflatten(2, {-1, window}); };  // [B, H, S/w, w, DH]
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
  const auto scores = windows(q * scale).matmul(windows(k).transpose(-1, -2)) + relative_bias(table);
  return scores.softmax(-1).to(v.scalar_type()).matmul(windows(v)).flatten(2, 3);
}

}  // namespace

torch::Tensor relative_bias(const torch::Tensor& table) {
  // Rows of a matrix 2w wide, all alike, read as if it were 2w − 1 wide: each is turned on by one. Views alone, so that
  // the gradient is a sum, and the same every time.
  const std::int64_t w = (table.size(0) + 1) / 2;
  const auto row = torch::constant_pad_nd(table.flatten().flip(0), {0, 1});
  const auto sheared = row.expand({w, 2 * w}).reshape({-1}).narrow(0, 0, w * (2 * w - 1)).view({w, 2 * w - 1});
  return sheared.narrow(1, w - 1, w);
}

WindowAttentionImpl::WindowAttentionImpl(const WindowAttentionOptions& options)
    : windows_(options.windows), qkv_(options.dim, 3 * options.dim), proj_(options.dim, options.dim) {
  const auto heads = static_cast<std::int64_t>(windows_.size());
  AXLSTM_CHECK(heads > 0 && options.dim % heads == 0, "window attention: width ", options.dim,
               " is not a multiple of the ", heads, " heads");
  register_module("qkv", qkv_);
  init_xavier(qkv_);
  torch::nn::ModuleList list;
  for (const std::int64_t window : windows_) {
    auto head = std::make_shared<torch::nn::Module>();
    tables_.emplace_back();
    if (window > 0) {
      const std::int64_t size = 2 * window - 1;
      const auto table = truncated_normal({size, 1}, kTableVariance / static_cast<double>(size));
      tables_.back() = head->register_parameter("relative_position_bias_table", table);
    }
    list->push_back(head);
  }
  register_module("attn_heads", list);
  register_module("proj", proj_);
  init_xavier(proj_);
}

torch::Tensor WindowAttentionImpl::forward(const torch::Tensor& x) {
  const std::size_t heads = windows_.size();
  std::vector<std::int64_t> groups;  // heads of each: neighbours without a window go together
  for (std::size_t head = 0; head < heads; ++head) {
    const bool joins = head > 0 && windows_[head] == 0 && windows_[head - 1] == 0;
    if (joins) ++groups.back();
    if (!joins) groups.push_back(1);
  }
  // All groups of q, k and v by one split: its gradient is one concatenation, as the matrix product wants it. That of
  // a slice would be a tensor of zeros of the whole size, and an addition, for each slice.
  std::vector<std::int64_t> sizes;
  for (int of = 0; of < 3; ++of) sizes.insert(sizes.end(), groups.begin(), groups.end());
  const auto parts = torch::linear(x, qkv_->weight, qkv_->bias)
                         .unflatten(-1, {3 * static_cast<std::int64_t>(heads), -1})
                         .split_with_sizes(sizes, 2);  // [B, S, heads, DH]
  std::vector<torch::Tensor> mixed;
  std::size_t head = 0;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    const auto of = [&](std::size_t n) { return parts[n * groups.size() + group].transpose(1, 2); };
    const auto found = windows_[head] == 0 ? torch::scaled_dot_product_attention(of(0), of(1), of(2))
                                           : attend_within(of(0), of(1), of(2), tables_[head]);
    mixed.push_back(found.transpose(1, 2));
    head += static_cast<std::size_t>(groups[group]);
  }
  return torch::linear(torch::cat(mixed, 2).flatten(-2), proj_->weight, proj_->bias);
}

WindowAttentionBlockImpl::WindowAttentionBlockImpl(const WindowAttentionOptions& options)
    : norm1_(layer_norm(options.dim)),
      attn_(options),
      norm2_(layer_norm(options.dim)),
      mlp_(options.dim, options.mlp_ratio * options.dim, options.activation) {
  register_module("norm1", norm1_);
  register_module("attn", attn_);
  register_module("norm2", norm2_);
  register_module("mlp", mlp_);
}

ops::ResidualStream WindowAttentionBlockImpl::forward(const ops::ResidualStream& stream) {
  const auto [x, u1] = residual_norm(stream, norm1_, ops::Backend::kAuto);
  const auto [attended, u2] = residual_norm({x, attn_->forward(u1)}, norm2_, ops::Backend::kAuto);
  return {attended, mlp_->forward(u2)};
}

}  // namespace axlstm::nn
