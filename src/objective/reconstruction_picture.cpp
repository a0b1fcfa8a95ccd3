#include "axlstm/objective/reconstruction_picture.h"

#include <torch/torch.h>

#include <array>
#include <limits>

#include "axlstm/io/image.h"
#include "axlstm/nn/patch_embed.h"

namespace axlstm::objective {
namespace {

io::Panel to_panel(const torch::Tensor& spectrogram) {  // [1, 1, L, F] → mels upwards, time to the right
  const auto picture = spectrogram[0][0].t().flip(0).to(torch::kCPU, torch::kFloat32).contiguous();
  const auto* values = picture.data_ptr<float>();
  return {picture.size(1), picture.size(0), std::vector<float>(values, values + picture.numel())};
}

}  // namespace

void write_reconstruction(const std::filesystem::path& path, const torch::Tensor& spectrogram,
                          const torch::Tensor& mask, const torch::Tensor& prediction,
                          const model::EncoderOptions& encoder, const model::LossOptions& loss, bool unbiased) {
  const auto patches = nn::patchify(spectrogram, encoder.patch_frames, encoder.patch_mels);  // [1, N, P]
  auto pixels = prediction.to(patches.dtype());
  if (loss.normalize_targets) {  // the prediction is in units of each patch's own mean and deviation
    const auto [variance, mean] = torch::var_mean(patches, -1, unbiased, /*keepdim=*/true);
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
