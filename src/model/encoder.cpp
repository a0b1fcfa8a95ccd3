#include "axlstm/model/encoder.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/model/blocks.h"
#include "axlstm/nn/pos_embed.h"

namespace axlstm::model {

EncoderImpl::EncoderImpl(const EncoderOptions& options)
    : options_(options),
      patch_embed_(options.dim, options.patch_frames, options.patch_mels),
      encoder_norm_(torch::nn::LayerNormOptions({options.dim}).eps(1e-6)) {
  cls_token_ = register_parameter("cls_token", torch::empty({1, 1, options.dim}).normal_(0.0, 0.02));
  mask_token_ = register_parameter("mask_token", torch::empty({1, 1, options.dim}).normal_(0.0, 0.02));
  pos_embed_ =
      register_buffer("pos_embed", nn::sincos_positions(options.dim, options.grid_rows(), options.grid_columns()));
  register_module("patch_embed", patch_embed_);
  torch::nn::ModuleList list;
  for (std::int64_t index = 0; index < options.depth; ++index) {
    blocks_.push_back(blocks(options.arch).make(options, index));
    list->push_back(blocks_.back());
  }
  register_module("blocks", list);
  register_module("encoder_norm", encoder_norm_);
}

torch::Tensor EncoderImpl::forward(const torch::Tensor& spectrogram, const torch::Tensor& mask) {
  return normed(hidden(spectrogram, mask));
}

torch::Tensor EncoderImpl::hidden(const torch::Tensor& spectrogram, const torch::Tensor& mask) {
  AXLSTM_CHECK(spectrogram.dim() == 4 && spectrogram.size(1) == 1 && spectrogram.size(2) == options_.frames &&
                   spectrogram.size(3) == options_.mels,
               "encoder: the spectrogram must be [batch, 1, ", options_.frames, ", ", options_.mels, "], got ",
               spectrogram.sizes());
  auto patches = patch_embed_->forward(spectrogram) + pos_embed_.narrow(1, 1, options_.patches());
  if (mask.defined()) {
    AXLSTM_CHECK(mask.sizes() == patches.sizes().slice(0, 2), "encoder: the mask must be ", patches.sizes().slice(0, 2),
                 ", got ", mask.sizes());
    patches = torch::where(mask.unsqueeze(-1), mask_token_.to(patches.dtype()), patches);
  }
  const auto cls = (cls_token_ + pos_embed_.narrow(1, 0, 1)).to(patches.dtype()).expand({patches.size(0), -1, -1});
  ops::ResidualStream stream{torch::cat({cls, patches}, 1), {}};
  for (const auto& block : blocks_) stream = block->forward(stream);
  return stream.sum();
}

torch::Tensor EncoderImpl::normed(const torch::Tensor& hidden) { return encoder_norm_->forward(hidden); }

const std::vector<std::string>& head_prefixes() {
  static const std::vector<std::string> prefixes{"pred."};
  return prefixes;
}

std::int64_t parameter_count(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace axlstm::model
