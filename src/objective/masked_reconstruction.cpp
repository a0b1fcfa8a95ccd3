#include "axlstm/objective/masked_reconstruction.h"

#include <torch/torch.h>

#include <array>
#include <limits>

#include "axlstm/io/image.h"
#include "axlstm/model/architecture.h"
#include "axlstm/model/masking.h"
#include "axlstm/nn/patch_embed.h"

namespace axlstm::objective {
namespace {

io::Panel to_panel(const torch::Tensor& spectrogram) {  // [1, 1, L, F] → mels upwards, time to the right
  const auto picture = spectrogram[0][0].t().flip(0).to(torch::kCPU, torch::kFloat32).contiguous();
  const auto* values = picture.data_ptr<float>();
  return {picture.size(1), picture.size(0), std::vector<float>(values, values + picture.numel())};
}

}  // namespace

MaskedReconstruction::MaskedReconstruction(const model::EncoderOptions& encoder, const model::MaskOptions& mask,
                                           const model::LossOptions& loss)
    : model_(encoder), mask_(mask), loss_(loss) {}

torch::Tensor MaskedReconstruction::draw(std::int64_t batch, torch::Generator generator) const {
  return model::draw_mask_noise(batch, model_->options(), mask_, std::move(generator));
}

torch::Tensor MaskedReconstruction::loss(const data::Batch& batch, const torch::Tensor& drawn) {
  return model_->loss(batch.spectrogram, drawn, mask_, loss_);
}

bool MaskedReconstruction::draw_picture(const std::filesystem::path& png, const data::Batch& batch,
                                        const torch::Tensor& drawn) {
  const auto mask = model::mask_from_noise(drawn, model_->options(), mask_);
  const auto prediction = model_->reconstruct(batch.spectrogram, mask);
  write_reconstruction(png, batch.spectrogram, mask, prediction, model_->options(), loss_);
  return true;
}

model::Encoder MaskedReconstruction::encoder() {
  return model::Encoder(std::static_pointer_cast<model::EncoderImpl>(model_.ptr()));
}

double MaskedReconstruction::forward_flops() const {
  const auto& options = model_->options();
  const auto D = static_cast<double>(options.dim), N = static_cast<double>(options.patches());
  const auto P = static_cast<double>(options.patch_pixels());
  return model::encoder_flops(options) + N * 2 * (D * D + D * P);  // and the head
}

void write_reconstruction(const std::filesystem::path& path, const torch::Tensor& spectrogram,
                          const torch::Tensor& mask, const torch::Tensor& prediction,
                          const model::EncoderOptions& encoder, const model::LossOptions& loss) {
  const auto patches = nn::patchify(spectrogram, encoder.patch_frames, encoder.patch_mels);  // [1, N, P]
  auto pixels = prediction.to(patches.dtype());
  if (loss.normalize_targets) {  // the prediction is in units of each patch's own mean and deviation
    const auto [variance, mean] = torch::var_mean(patches, -1, /*unbiased=*/true, /*keepdim=*/true);
    pixels = pixels * (variance + 1e-6).sqrt() + mean;
  }
  const auto low = spectrogram.min().item<float>(), high = std::max(spectrogram.max().item<float>(), low + 1e-3F);
  const auto hidden = mask.unsqueeze(-1);
  const auto draw = [&](const torch::Tensor& shown) {
    return to_panel(nn::unpatchify(shown, encoder.patch_frames, encoder.patch_mels, encoder.mels));
  };
  const std::array panels{to_panel(spectrogram),
                          draw(patches.masked_fill(hidden, std::numeric_limits<double>::quiet_NaN())),
                          draw(torch::where(hidden, pixels, patches))};
  io::write_png(path, panels, low, high, /*zoom=*/3);
}

}  // namespace axlstm::objective
