// The pre-training model: an encoder that sees half of the patches and a head that predicts the pixels of all.
#pragma once

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include "axlstm/model/encoder.h"

namespace axlstm::model {

/// Encoder plus reconstruction head (Linear D→D, GELU, Linear D→P). Derived, not composed, so that the parameter names
/// are those of the PyTorch state dict (`blocks.0…` beside `pred.0…`).
class MaskedModelImpl : public EncoderImpl {
 public:
  explicit MaskedModelImpl(const EncoderOptions& options);

  /// Predicted pixels [B, N, P] of spectrogram [B, 1, L, F] seen through `mask` [B, N] (true = hidden).
  torch::Tensor reconstruct(const torch::Tensor& spectrogram, const torch::Tensor& mask);

  /// The loss of a batch whose mask follows from `noise` (mask_from_noise), a scalar: reconstruction_loss() of
  /// reconstruct(), but only the patches that count go through the head.
  torch::Tensor loss(const torch::Tensor& spectrogram, const torch::Tensor& noise, const MaskOptions& mask,
                     const LossOptions& loss);

 private:
  torch::Tensor predict(const torch::Tensor& tokens);  // pixels, of normed tokens

  torch::nn::Sequential pred_;
};
TORCH_MODULE(MaskedModel);

/// The pixels to be predicted: patches of the spectrogram, each normalised if `loss` says so, by the variance that
/// `unbiased` means. [B, N, P]
torch::Tensor reconstruction_target(const torch::Tensor& spectrogram, const EncoderOptions& encoder,
                                    const LossOptions& loss, bool unbiased = true);

/// Mean squared error over the masked patches (paper) or over all (released code); a scalar.
torch::Tensor reconstruction_loss(const torch::Tensor& prediction, const torch::Tensor& target,
                                  const torch::Tensor& mask, LossRegion region);

}  // namespace axlstm::model
