#include "axlstm/nn/patch_embed.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/nn/linear.h"

namespace axlstm::nn {

PatchEmbedImpl::PatchEmbedImpl(std::int64_t dim, std::int64_t patch_frames, std::int64_t patch_mels,
                               ops::Backend backend)
    : backend_(backend),
      proj_(torch::nn::Conv2dOptions(1, dim, {patch_frames, patch_mels}).stride({patch_frames, patch_mels})) {
  register_module("proj", proj_);
  torch::nn::init::xavier_uniform_(proj_->weight);  // fan_in P, fan_out P·D
  torch::nn::init::zeros_(proj_->bias);
}

torch::Tensor PatchEmbedImpl::forward(const torch::Tensor& spectrogram) {
  const auto& weight = proj_->weight;  // [D, 1, pf, pm]
  return embed(patchify(spectrogram, weight.size(2), weight.size(3)));
}

torch::Tensor PatchEmbedImpl::embed(const torch::Tensor& pixels) {
  // The convolution as the matrix product that it is where stride and kernel are the same: several times faster.
  return linear(pixels, proj_->weight.flatten(1), proj_->bias, backend_);
}

torch::Tensor patchify(const torch::Tensor& spectrogram, std::int64_t patch_frames, std::int64_t patch_mels) {
  AXLSTM_CHECK(spectrogram.dim() == 4 && spectrogram.size(1) == 1 && spectrogram.size(2) % patch_frames == 0 &&
                   spectrogram.size(3) % patch_mels == 0,
               "patchify: the spectrogram must be [batch, 1, frames, mels] in multiples of the patch ", patch_frames,
               "×", patch_mels, ", got ", spectrogram.sizes());
  const auto B = spectrogram.size(0), rows = spectrogram.size(2) / patch_frames,
             columns = spectrogram.size(3) / patch_mels;
  return spectrogram.reshape({B, rows, patch_frames, columns, patch_mels})
      .permute({0, 1, 3, 2, 4})
      .reshape({B, rows * columns, patch_frames * patch_mels});
}

torch::Tensor unpatchify(const torch::Tensor& patches, std::int64_t patch_frames, std::int64_t patch_mels,
                         std::int64_t mels) {
  AXLSTM_CHECK(patches.dim() == 3 && mels >= patch_mels && mels % patch_mels == 0, "unpatchify: patches ",
               patches.sizes(), " of ", patch_mels, " mels do not fill ", mels, " mels");
  const auto B = patches.size(0), columns = mels / patch_mels, rows = patches.size(1) / columns;
  AXLSTM_CHECK(patches.dim() == 3 && patches.size(1) == rows * columns && patches.size(2) == patch_frames * patch_mels,
               "unpatchify: patches ", patches.sizes(), " do not fill a grid of ", columns, " patches of ",
               patch_frames, "×", patch_mels, " over ", mels, " mels");
  return patches.reshape({B, rows, columns, patch_frames, patch_mels})
      .permute({0, 1, 3, 2, 4})
      .reshape({B, 1, rows * patch_frames, mels});
}

}  // namespace axlstm::nn
