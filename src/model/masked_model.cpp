#include "axlstm/model/masked_model.h"

#include <torch/torch.h>

#include "axlstm/model/architecture.h"
#include "axlstm/model/masking.h"
#include "axlstm/nn/linear.h"
#include "select_rows.h"

namespace axlstm::model {

MaskedModelImpl::MaskedModelImpl(const EncoderOptions& options)
    : EncoderImpl(options, /*with_mask_token=*/true),
      pred_(torch::nn::Linear(options.dim, options.dim), torch::nn::GELU(),
            torch::nn::Linear(options.dim, options.patch_pixels())) {
  register_module("pred", pred_);
  if (architecture(options.arch).zero_head_biases) {
    for (auto& parameter : pred_->named_parameters()) {
      if (parameter.key().ends_with("bias")) torch::nn::init::zeros_(parameter.value());
    }
  }
}

torch::Tensor MaskedModelImpl::predict(const torch::Tensor& tokens) {
  const auto layer = [&](std::size_t index) -> const torch::nn::LinearImpl& {
    return *pred_->ptr<torch::nn::LinearImpl>(index);
  };
  const auto hidden = nn::linear(tokens, layer(0), options().backend, ops::Gelu::kErf);
  return nn::linear(hidden, layer(2), options().backend);
}

torch::Tensor MaskedModelImpl::reconstruct(const torch::Tensor& spectrogram, const torch::Tensor& mask) {
  return predict(
      normed(by_time(hidden(patches(spectrogram, mask)))).narrow(1, options().class_tokens(), options().patches()));
}

torch::Tensor MaskedModelImpl::loss(const torch::Tensor& spectrogram, const torch::Tensor& noise,
                                    const MaskOptions& mask_options, const LossOptions& loss) {
  const auto mask = mask_from_noise(noise, options(), mask_options);
  const auto target = reconstruction_target(spectrogram, options(), loss);
  if (loss.region == LossRegion::kAll) {
    return reconstruction_loss(reconstruct(spectrogram, mask), target, mask, loss.region);
  }
  const auto rows = masked_rows(mask, masked_patches(options(), mask_options));
  const auto tokens = by_time(hidden(patches(spectrogram, mask)))
                          .narrow(1, options().class_tokens(), options().patches())
                          .flatten(0, 1);
  const auto prediction = predict(normed(select_rows(tokens, rows)));
  // Of masked patches alone, "all" is the mean over those.
  return reconstruction_loss(prediction, target.flatten(0, 1).index_select(0, rows), {}, LossRegion::kAll);
}

torch::Tensor reconstruction_target(const torch::Tensor& spectrogram, const EncoderOptions& encoder,
                                    const LossOptions& loss, bool unbiased) {
  const auto patches = nn::patchify(spectrogram, encoder.patch_frames, encoder.patch_mels);
  if (!loss.normalize_targets) return patches;
  const auto [variance, mean] = torch::var_mean(patches, -1, unbiased, /*keepdim=*/true);
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
