// A masked autoencoder (He et al., 2022): the encoder sees the visible patches alone, a narrower decoder predicts the
// pixels of the hidden ones. With windows in the decoder's attention: MW-MAE.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include "axlstm/model/encoder.h"

namespace axlstm::model {

/// Encoder plus decoder, by one class for the names of the PyTorch state dict. Any architecture can be the encoder: it
/// gets the visible patches in their order.
class MaskedAutoencoderImpl : public EncoderImpl {
 public:
  /// Throws UsageError as checked_windows().
  MaskedAutoencoderImpl(const EncoderOptions& options, const DecoderOptions& decoder);

  /// Predicted pixels [B, N, P] of all patches of spectrogram [B, 1, L, F] of which the encoder sees those where `mask`
  /// [B, N] is false, equally many in every clip.
  torch::Tensor reconstruct(const torch::Tensor& spectrogram, const torch::Tensor& mask);

  /// The loss of a batch whose mask follows from `noise` (mask_from_noise), a scalar. Targets are normalised, if at
  /// all, by the biased variance, as in MW-MAE's code.
  torch::Tensor loss(const torch::Tensor& spectrogram, const torch::Tensor& noise, const MaskOptions& mask,
                     const LossOptions& loss);

  /// Multiplications and additions in a clip's forward pass.
  double forward_flops(const MaskOptions& mask) const;

 private:
  /// What the decoder's blocks and its norm make of all patches [B, N, W].
  torch::Tensor decode(const torch::Tensor& spectrogram, const torch::Tensor& mask, std::int64_t masked);
  torch::Tensor pixels(const torch::Tensor& decoded);

  DecoderOptions decoder_;
  torch::nn::Linear decoder_embed_;  // D → W
  torch::Tensor mask_token_;         // [1, 1, W]
  torch::Tensor decoder_pos_embed_;  // [1, C + N, W], a buffer unless positions are trained
  std::vector<std::shared_ptr<nn::Block>> decoder_blocks_;
  torch::nn::LayerNorm decoder_norm_;
  torch::nn::Linear decoder_pred_;  // W → P
};
TORCH_MODULE(MaskedAutoencoder);

}  // namespace axlstm::model
