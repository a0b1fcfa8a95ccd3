#include "axlstm/model/encoder.h"

#include <torch/torch.h>

#include <algorithm>

#include "axlstm/core/error.h"
#include "axlstm/model/blocks.h"
#include "axlstm/nn/pos_embed.h"
#include "select_rows.h"

namespace axlstm::model {

EncoderImpl::EncoderImpl(const EncoderOptions& options, bool with_mask_token)
    : options_(options),
      patch_embed_(options.dim, options.patch_frames, options.patch_mels, options.backend),
      encoder_norm_(torch::nn::LayerNormOptions({options.dim}).eps(1e-6)) {
  // Both tokens are drawn in any case, so that the weights behind them do not depend on whether they are there.
  const auto draw = [&] { return torch::empty({1, 1, options.dim}).normal_(0.0, 0.02); };
  const auto cls_token = draw(), mask_token = draw();
  if (options.class_token) cls_token_ = register_parameter("cls_token", cls_token);
  if (with_mask_token) mask_token_ = register_parameter("mask_token", mask_token);
  const auto positions = nn::sincos_positions(options.dim, options.grid_rows(), options.grid_columns())
                             .narrow(1, 1 - options.class_tokens(), options.class_tokens() + options.patches());
  pos_embed_ = options.train_positions ? register_parameter("pos_embed", positions.clone())
                                       : register_buffer("pos_embed", positions.clone());
  register_module("patch_embed", patch_embed_);
  torch::nn::ModuleList list;
  for (std::int64_t index = 0; index < options.depth; ++index) {
    blocks_.push_back(blocks(options.arch).make(options, index));
    list->push_back(blocks_.back());
  }
  register_module("blocks", list);
  register_module("encoder_norm", encoder_norm_);
}

torch::Tensor EncoderImpl::forward(const torch::Tensor& spectrogram) {
  return normed(by_time(hidden(patches(spectrogram))));
}

torch::Tensor EncoderImpl::patches(const torch::Tensor& spectrogram, const torch::Tensor& mask) {
  AXLSTM_CHECK(spectrogram.dim() == 4 && spectrogram.size(1) == 1 && spectrogram.size(2) == options_.frames &&
                   spectrogram.size(3) == options_.mels,
               "encoder: the spectrogram must be [batch, 1, ", options_.frames, ", ", options_.mels, "], got ",
               spectrogram.sizes());
  const auto patches =
      patch_embed_->forward(spectrogram) + pos_embed_.narrow(1, options_.class_tokens(), options_.patches());
  if (!mask.defined()) return in_order(patches);
  AXLSTM_CHECK(mask.sizes() == patches.sizes().slice(0, 2), "encoder: the mask must be ", patches.sizes().slice(0, 2),
               ", got ", mask.sizes());
  return in_order(torch::where(mask.unsqueeze(-1), mask_token_.to(patches.dtype()), patches));
}

torch::Tensor EncoderImpl::visible_patches(const torch::Tensor& spectrogram, const torch::Tensor& rows) {
  const std::int64_t B = spectrogram.size(0);
  const auto pixels = nn::patchify(spectrogram, options_.patch_frames, options_.patch_mels);
  const auto positions = options_.class_token ? pos_embed_.narrow(1, 1, options_.patches()) : pos_embed_;
  const auto seen = patch_embed_->embed(pixels.flatten(0, 1).index_select(0, rows));
  return (seen + positions_of(positions.flatten(0, 1), rows, B)).view({B, -1, options_.dim});
}

std::int64_t EncoderImpl::residual_branches() const {
  std::int64_t count = 0;
  for (const auto& block : blocks_) count += block->branches();
  return count;
}

torch::Tensor EncoderImpl::tokens_of(const torch::Tensor& patches) const {
  if (!options_.class_token) return patches;
  const auto cls = (cls_token_ + pos_embed_.narrow(1, 0, 1)).to(patches.dtype()).expand({patches.size(0), -1, -1});
  return torch::cat({cls, patches}, 1);
}

bool EncoderImpl::carries() const {
  return std::all_of(blocks_.begin(), blocks_.end(), [](const auto& block) { return block->carries(); });
}

torch::Tensor EncoderImpl::forward_carried(const torch::Tensor& spectrogram, EncoderState& state) {
  const auto seen = patches(spectrogram);
  ops::ResidualStream stream{state.empty() ? tokens_of(seen) : seen, {}};
  state.resize(blocks_.size());
  for (std::size_t index = 0; index < blocks_.size(); ++index)
    stream = blocks_[index]->forward_carried(stream, state[index]);
  const auto tokens = normed(stream.sum());
  return by_time(tokens.narrow(1, tokens.size(1) - options_.patches(), options_.patches()));
}

torch::Tensor EncoderImpl::hidden(const torch::Tensor& patches, const torch::Tensor& factors) {
  ops::ResidualStream stream{tokens_of(patches), {}};
  std::int64_t branch = 0;
  for (const auto& block : blocks_) {
    stream = factors.defined() ? block->forward_scaled(stream, factors.narrow(0, branch, block->branches()))
                               : block->forward(stream);
    branch += block->branches();
  }
  return stream.sum();
}

torch::Tensor EncoderImpl::normed(const torch::Tensor& hidden) { return encoder_norm_->forward(hidden); }

torch::Tensor EncoderImpl::in_order(const torch::Tensor& x) const {
  if (options_.patch_order == PatchOrder::kTime) return x;
  return x.unflatten(1, {options_.grid_rows(), options_.grid_columns()}).transpose(1, 2).flatten(1, 2);
}

torch::Tensor EncoderImpl::by_time(const torch::Tensor& tokens) const {
  if (options_.patch_order == PatchOrder::kTime) return tokens;
  const std::int64_t before = tokens.size(1) - options_.patches();
  const auto patches = tokens.narrow(1, before, options_.patches());
  const auto sorted =
      patches.unflatten(1, {options_.grid_columns(), options_.grid_rows()}).transpose(1, 2).flatten(1, 2);
  return before == 0 ? sorted : torch::cat({tokens.narrow(1, 0, before), sorted}, 1);
}

const std::vector<std::string>& head_prefixes() {
  static const std::vector<std::string> prefixes{"pred.", "mask_token", "decoder_", "head."};
  return prefixes;
}

std::int64_t parameter_count(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace axlstm::model
