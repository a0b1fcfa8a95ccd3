// Spectrogram ↔ patches. Token order is time-major: patch (t, f) of the grid is token t·(mels / patch mels) + f.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include "axlstm/ops/options.h"

namespace axlstm::nn {

/// Linear map of each patch to D channels; its parameters are those of a strided convolution, Xavier-uniform on the
/// 4-D weight.
class PatchEmbedImpl : public torch::nn::Module {
 public:
  PatchEmbedImpl(std::int64_t dim, std::int64_t patch_frames, std::int64_t patch_mels,
                 ops::Backend backend = ops::Backend::kAuto);
  torch::Tensor forward(const torch::Tensor& spectrogram);  // [B, 1, L, F] → [B, N, D]
  torch::Tensor embed(const torch::Tensor& pixels);         // of patches [..., P] → [..., D]

 private:
  ops::Backend backend_;
  torch::nn::Conv2d proj_;
};
TORCH_MODULE(PatchEmbed);

/// [B, 1, L, F] → [B, N, P]; the P pixels of a patch are in time-major order.
torch::Tensor patchify(const torch::Tensor& spectrogram, std::int64_t patch_frames, std::int64_t patch_mels);

/// The inverse of patchify for a spectrogram of `mels` bins: [B, N, P] → [B, 1, L, F].
torch::Tensor unpatchify(const torch::Tensor& patches, std::int64_t patch_frames, std::int64_t patch_mels,
                         std::int64_t mels);

}  // namespace axlstm::nn
