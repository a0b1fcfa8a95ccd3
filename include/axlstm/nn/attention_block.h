// One block of the transformer baseline (SSAST): pre-norm attention and MLP.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include "axlstm/nn/block.h"
#include "axlstm/nn/options.h"
#include "axlstm/ops/options.h"

namespace axlstm::nn {

struct AttentionBlockOptions {
  std::int64_t dim = 192;
  std::int64_t heads = 3;
  std::int64_t mlp_ratio = 4;
  Activation activation = Activation::kGelu;
  ops::Backend backend = ops::Backend::kAuto;  ///< kReference: LibTorch's operators alone
};

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const AttentionBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, S, D] → [B, S, D]

 private:
  ops::Backend backend_;
  std::int64_t heads_;
  torch::nn::Linear qkv_layer_, proj_layer_;
};
TORCH_MODULE(Attention);

class MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(std::int64_t dim, std::int64_t hidden_dim, Activation activation, ops::Backend backend);
  torch::Tensor forward(const torch::Tensor& x);  // [..., D] → [..., D]

 private:
  ops::Backend backend_;
  Activation activation_;
  torch::nn::Linear layer1_, layer2_;
};
TORCH_MODULE(Mlp);

class AttentionBlockImpl : public Block {
 public:
  explicit AttentionBlockImpl(const AttentionBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, S, D] → [B, S, D]
  /// The same with the sums left to the next norm.
  ops::ResidualStream forward(const ops::ResidualStream& stream) override;
  std::int64_t branches() const override { return 2; }
  ops::ResidualStream forward_scaled(const ops::ResidualStream& stream, const torch::Tensor& factors) override;

 private:
  ops::Backend backend_;
  torch::nn::LayerNorm norm1_;
  Attention attn_;
  torch::nn::LayerNorm norm2_;
  Mlp mlp_;
};
TORCH_MODULE(AttentionBlock);

}  // namespace axlstm::nn
