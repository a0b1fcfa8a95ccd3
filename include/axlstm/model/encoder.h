// Spectrogram → tokens: patch embedding, positions, class token, blocks, final norm.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <string>
#include <vector>

#include "axlstm/model/options.h"
#include "axlstm/nn/block.h"
#include "axlstm/nn/patch_embed.h"

namespace axlstm::model {

class EncoderImpl : public torch::nn::Module {
 public:
  /// `options` as resolve() returns them. Weights are drawn from LibTorch's global generator.
  explicit EncoderImpl(const EncoderOptions& options);

  /// spectrogram [B, 1, L, F] (normalised log-mel) → tokens [B, 1 + N, D], class token first. Patches where `mask`
  /// [B, N] is true are replaced, position included, by the mask token; no mask: all are seen.
  torch::Tensor forward(const torch::Tensor& spectrogram, const torch::Tensor& mask = {});

  const EncoderOptions& options() const { return options_; }

 protected:
  /// What the blocks make of the tokens [B, 1 + N, D]; `normed` of it is forward()'s result, token by token.
  torch::Tensor hidden(const torch::Tensor& spectrogram, const torch::Tensor& mask);
  torch::Tensor normed(const torch::Tensor& hidden);

 private:
  EncoderOptions options_;
  torch::Tensor cls_token_, mask_token_;  // [1, 1, D]
  torch::Tensor pos_embed_;               // [1, 1 + N, D], a buffer
  nn::PatchEmbed patch_embed_;
  std::vector<std::shared_ptr<nn::Block>> blocks_;
  torch::nn::LayerNorm encoder_norm_;
};
TORCH_MODULE(Encoder);

/// Tensors whose names begin with one of these belong to the heads of pre-training models; an encoder has none of them.
const std::vector<std::string>& head_prefixes();

/// Trainable parameters (positions are not).
std::int64_t parameter_count(const torch::nn::Module& module);

}  // namespace axlstm::model
