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

/// What all blocks carry from one chunk to the next; empty at the start.
using EncoderState = std::vector<nn::BlockState>;

class EncoderImpl : public torch::nn::Module {
 public:
  /// `options` as resolve() returns them. Weights are drawn from LibTorch's global generator.
  explicit EncoderImpl(const EncoderOptions& options) : EncoderImpl(options, /*with_mask_token=*/false) {}

  /// spectrogram [B, 1, L, F] (normalised log-mel) → tokens [B, C + N, D], with C = options().class_tokens() first.
  torch::Tensor forward(const torch::Tensor& spectrogram);

  /// Whether a state of fixed size holds all that a chunk sees of those before it.
  bool carries() const;

  /// The patches' tokens [B, N, D] of the next chunk of a recording, which see all chunks before it through `state`;
  /// that is brought up to its end. Positions begin anew in each chunk, the class token stands before the first. Throws
  /// Error unless carries().
  torch::Tensor forward_carried(const torch::Tensor& spectrogram, EncoderState& state);

  const EncoderOptions& options() const { return options_; }

  /// Additions of all blocks to the residual stream.
  std::int64_t residual_branches() const;

 protected:
  EncoderImpl(const EncoderOptions& options, bool with_mask_token);

  /// The patches [B, N, D] with their positions, in the blocks' order; those where `mask` [B, N] is true are replaced,
  /// position included, by the mask token. No mask: all are seen.
  torch::Tensor patches(const torch::Tensor& spectrogram, const torch::Tensor& mask = {});

  /// The patches [B, K, D] with their positions of rows [B·K] of [B, N] alone, K of each clip, none twice.
  torch::Tensor visible_patches(const torch::Tensor& spectrogram, const torch::Tensor& rows);

  /// What the blocks make of the class token and of patches [B, K, D], any K ≥ 1; `normed` of it is forward()'s result,
  /// token by token.
  /// `factors` [residual_branches(), B]: what each addition of a block is multiplied by (drop path); undefined: 1.
  torch::Tensor hidden(const torch::Tensor& patches, const torch::Tensor& factors = {});
  torch::Tensor normed(const torch::Tensor& hidden);

  /// All patches' rows of x [B, N, ...] from their order in time to that of the blocks (options().patch_order).
  torch::Tensor in_order(const torch::Tensor& x) const;
  /// And back, in tokens [B, N or C + N, ...], of which a class token stays in front.
  torch::Tensor by_time(const torch::Tensor& tokens) const;

 private:
  /// The class token in front of patches [B, K, D], if there is one.
  torch::Tensor tokens_of(const torch::Tensor& patches) const;

  EncoderOptions options_;
  torch::Tensor cls_token_, mask_token_;  // [1, 1, D]; undefined if there is none
  torch::Tensor pos_embed_;               // [1, C + N, D], a buffer unless it is trained
  nn::PatchEmbed patch_embed_;
  std::vector<std::shared_ptr<nn::Block>> blocks_;
  torch::nn::LayerNorm encoder_norm_;
};
TORCH_MODULE(Encoder);

/// Tensors whose names begin with one of these belong to the heads of pre-training models; an encoder has none of
/// them.
const std::vector<std::string>& head_prefixes();

/// Trainable parameters (positions are not).
std::int64_t parameter_count(const torch::nn::Module& module);

}  // namespace axlstm::model
