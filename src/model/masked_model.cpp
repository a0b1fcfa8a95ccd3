#include "axlstm/model/masked_model.h"

#include <torch/torch.h>

namespace axlstm::model {

MaskedModelImpl::MaskedModelImpl(const EncoderOptions& options)
    : EncoderImpl(options),
      pred_(torch::nn::Linear(options.dim, options.dim), torch::nn::GELU(),
            torch::nn::Linear(options.dim, options.patch_pixels())) {
  register_module("pred", pred_);
}

torch::Tensor MaskedModelImpl::reconstruct(const torch::Tensor& spectrogram, const torch::Tensor& mask) {
  return pred_->forward(forward(spectrogram, mask).narrow(1, 1, options().patches()));
}

torch::Tensor reconstruction_target(const torch::Tensor& spectrogram, const EncoderOptions& encoder,
                                    const LossOptions& loss) {
  const auto patches = nn::patchify(spectrogram, encoder.patch_frames, encoder.patch_mels);
  if (!loss.normalize_targets) return patches;
  const auto [variance, mean] = torch::var_mean(patches, -1, /*unbiased=*/true, /*keepdim=*/true);
  return (patches - mean) / (variance + 1e-6).sqrt();  // MAE's constant
}

torch::Tensor reconstruction_loss(const torch::Tensor& prediction, const torch::Tensor& target,
                                  const torch::Tensor& mask, LossRegion region) {
  const auto per_patch = (prediction.to(torch::kFloat32) - target.to(torch::kFloat32)).square().mean(-1);  // [B, N]
  if (region == LossRegion::kAll) return per_patch.mean();
  const auto weight = mask.to(per_patch.dtype());
  return (per_patch * weight).sum() / weight.sum();
}

}  // namespace axlstm::model
