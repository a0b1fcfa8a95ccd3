// One block of the transformer baseline (SSAST): pre-norm attention and MLP.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

namespace axlstm::nn {

struct AttentionBlockOptions {
  std::int64_t dim = 192;
  std::int64_t heads = 3;
  std::int64_t mlp_ratio = 4;
};

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const AttentionBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, S, D] → [B, S, D]

 private:
  std::int64_t heads_;
  torch::nn::Linear qkv_layer_, proj_layer_;
};
TORCH_MODULE(Attention);

class MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(std::int64_t dim, std::int64_t hidden_dim);
  torch::Tensor forward(const torch::Tensor& x);  // [..., D] → [..., D]

 private:
  torch::nn::Linear layer1_, layer2_;
};
TORCH_MODULE(Mlp);

class AttentionBlockImpl : public torch::nn::Module {
 public:
  explicit AttentionBlockImpl(const AttentionBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, S, D] → [B, S, D]

 private:
  torch::nn::LayerNorm norm1_;
  Attention attn_;
  torch::nn::LayerNorm norm2_;
  Mlp mlp_;
};
TORCH_MODULE(AttentionBlock);

}  // namespace axlstm::nn
