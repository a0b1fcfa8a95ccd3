#include "axlstm/model/masked_autoencoder.h"

#include <torch/torch.h>

#include "axlstm/model/architecture.h"
#include "axlstm/model/masked_model.h"
#include "axlstm/model/masking.h"
#include "axlstm/nn/init.h"
#include "axlstm/nn/linear.h"
#include "axlstm/nn/pos_embed.h"
#include "axlstm/nn/residual_norm.h"
#include "axlstm/nn/window_attention_block.h"
#include "select_rows.h"

namespace axlstm::model {
namespace {

std::shared_ptr<nn::Block> decoder_block(const DecoderOptions& decoder, const std::vector<std::int64_t>& windows,
                                         const EncoderOptions& encoder) {
  if (windows.empty()) {
    return std::make_shared<nn::AttentionBlockImpl>(nn::AttentionBlockOptions{
        .dim = decoder.dim, .heads = decoder.heads, .activation = encoder.activation, .backend = encoder.backend});
  }
  return std::make_shared<nn::WindowAttentionBlockImpl>(nn::WindowAttentionOptions{
      .dim = decoder.dim, .windows = windows, .activation = encoder.activation, .backend = encoder.backend});
}

}  // namespace

MaskedAutoencoderImpl::MaskedAutoencoderImpl(const EncoderOptions& options, const DecoderOptions& decoder)
    : EncoderImpl(options),
      decoder_(decoder),
      decoder_embed_(options.dim, decoder.dim),
      decoder_norm_(torch::nn::LayerNormOptions({decoder.dim}).eps(1e-6)),
      decoder_pred_(decoder.dim, options.patch_pixels()) {
  const auto windows = checked_windows(decoder, options);
  register_module("decoder_embed", decoder_embed_);
  nn::init_lecun(decoder_embed_);
  mask_token_ = register_parameter("mask_token", torch::empty({1, 1, decoder.dim}).normal_(0.0, 0.02));
  const auto positions = nn::sincos_sequence(decoder.dim, options.patches());
  const auto with_class = options.class_token ? torch::constant_pad_nd(positions, {0, 0, 1, 0}) : positions;
  decoder_pos_embed_ = options.train_positions ? register_parameter("decoder_pos_embed", with_class)
                                               : register_buffer("decoder_pos_embed", with_class);
  torch::nn::ModuleList list;
  for (std::int64_t index = 0; index < decoder.depth; ++index) {
    decoder_blocks_.push_back(decoder_block(decoder, windows, options));
    list->push_back(decoder_blocks_.back());
  }
  register_module("decoder_blocks", list);
  register_module("decoder_norm", decoder_norm_);
  register_module("decoder_pred", decoder_pred_);
  nn::init_lecun(decoder_pred_);
}

torch::Tensor MaskedAutoencoderImpl::decode(const torch::Tensor& spectrogram, const torch::Tensor& mask,
                                            std::int64_t masked) {
  const std::int64_t B = mask.size(0), N = options().patches(), C = options().class_tokens(), kept = N - masked;
  auto visible = masked_rows(in_order(mask).logical_not(), kept);  // in the blocks' order, as are their numbers
  if (options().patch_order != PatchOrder::kTime) {
    const auto number_by_time = in_order(torch::arange(N, visible.options()).unsqueeze(0))[0];
    visible += number_by_time.index_select(0, visible.remainder(N)) - visible.remainder(N);
  }
  const auto seen = visible_patches(spectrogram, visible);
  const auto y = nn::linear(normed(hidden(seen)), *decoder_embed_, options().backend);  // [B, C + kept, W]
  // A slice of all would still have a gradient of its own, of the whole size.
  const auto without_class = [&](const torch::Tensor& x) { return C > 0 ? x.narrow(1, C, x.size(1) - C) : x; };
  auto tokens = in_order(fill_in(without_class(y).flatten(0, 1), mask_token_.flatten(),
                                 without_class(decoder_pos_embed_).flatten(0, 1), visible, B));
  if (C > 0) tokens = torch::cat({y.narrow(1, 0, C) + decoder_pos_embed_.narrow(1, 0, C), tokens}, 1);
  ops::ResidualStream stream{tokens, {}};
  for (const auto& block : decoder_blocks_) stream = block->forward(stream);
  return by_time(without_class(nn::residual_norm(stream, decoder_norm_, options().backend).normed));
}

torch::Tensor MaskedAutoencoderImpl::pixels(const torch::Tensor& decoded) {
  return nn::linear(decoded, *decoder_pred_, options().backend);
}

torch::Tensor MaskedAutoencoderImpl::reconstruct(const torch::Tensor& spectrogram, const torch::Tensor& mask) {
  return pixels(decode(spectrogram, mask, mask[0].sum().item<std::int64_t>()));
}

torch::Tensor MaskedAutoencoderImpl::loss(const torch::Tensor& spectrogram, const torch::Tensor& noise,
                                          const MaskOptions& mask_options, const LossOptions& loss) {
  const auto mask = mask_from_noise(noise, options(), mask_options);
  const std::int64_t masked = masked_patches(options(), mask_options);
  const auto target = reconstruction_target(spectrogram, options(), loss, /*unbiased=*/false);
  const auto decoded = decode(spectrogram, mask, masked);
  if (loss.region == LossRegion::kAll) return reconstruction_loss(pixels(decoded), target, mask, LossRegion::kAll);
  const auto rows = masked_rows(mask, masked);
  // Of masked patches alone, "all" is the mean over those.
  return reconstruction_loss(pixels(select_rows(decoded.flatten(0, 1), rows)),
                             target.flatten(0, 1).index_select(0, rows), {}, LossRegion::kAll);
}

double MaskedAutoencoderImpl::forward_flops(const MaskOptions& mask) const {
  EncoderOptions decoder = options();  // whose blocks are transformers too
  decoder.dim = decoder_.dim;
  const std::int64_t kept = options().patches() - masked_patches(options(), mask);
  const auto W = static_cast<double>(decoder_.dim), D = static_cast<double>(options().dim);
  const auto P = static_cast<double>(options().patch_pixels());
  const auto N = static_cast<double>(options().patches()), C = static_cast<double>(options().class_tokens());
  double unseen = 0;  // scores that windows leave out, of all heads
  for (const std::int64_t window : checked_windows(decoder_, options())) {
    if (window > 0) unseen += N * (N - static_cast<double>(window));
  }
  const double saved = 4 * W / static_cast<double>(decoder_.heads) * unseen;
  return encoder_flops(options(), kept) + (static_cast<double>(kept) + C) * 2 * D * W +
         static_cast<double>(decoder_.depth) * (architecture("mae").block_flops(decoder, N + C) - saved) +
         N * 2 * W * P;
}

}  // namespace axlstm::model
