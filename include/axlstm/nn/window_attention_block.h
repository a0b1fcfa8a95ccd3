// A transformer block whose heads attend within windows of different lengths: the decoder of MW-MAE (Yadav,
// Theodoridis, Hansen, Tan: "Masked autoencoders with multi-window local-global attention are better audio learners",
// 2024).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "axlstm/nn/attention_block.h"
#include "axlstm/ops/options.h"
#include "axlstm/ops/window_attention.h"

namespace axlstm::nn {

struct WindowAttentionOptions {
  std::int64_t dim = 384;
  std::vector<std::int64_t> windows = {};  ///< of each head: tokens, which divide the sequence; 0: all
  std::int64_t mlp_ratio = 4;
  Activation activation = Activation::kGelu;
  ops::Backend backend = ops::Backend::kAuto;  ///< kReference: LibTorch's operators alone
};

/// Heads attend within consecutive windows of the sequence, with a learned bias for each distance; those without a
/// window to all tokens.
class WindowAttentionImpl : public torch::nn::Module {
 public:
  explicit WindowAttentionImpl(const WindowAttentionOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, S, D] → [B, S, D]

 private:
  ops::Backend backend_;
  ops::WindowHeads heads_;  // tables [2w − 1, 1] are parameters
  torch::nn::Linear qkv_, proj_;
};
TORCH_MODULE(WindowAttention);

class WindowAttentionBlockImpl : public Block {
 public:
  explicit WindowAttentionBlockImpl(const WindowAttentionOptions& options);
  ops::ResidualStream forward(const ops::ResidualStream& stream) override;

 private:
  ops::Backend backend_;
  torch::nn::LayerNorm norm1_;
  WindowAttention attn_;
  torch::nn::LayerNorm norm2_;
  Mlp mlp_;
};
TORCH_MODULE(WindowAttentionBlock);

}  // namespace axlstm::nn
