#include "axlstm/embed/embedder.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::embed {

torch::Tensor arrange_tokens(const torch::Tensor& tokens, const model::EncoderOptions& encoder,
                             EmbeddingLayout layout) {
  const auto rows = encoder.grid_rows(), columns = encoder.grid_columns();
  if (layout == EmbeddingLayout::kTimeFrequency) return tokens.unflatten(1, {rows, columns}).flatten(2);
  return tokens.unflatten(1, {columns, rows}).transpose(1, 2).flatten(2);
}

Embedder::Embedder(model::Encoder encoder, const features::LogMelOptions& log_mel, EmbeddingLayout layout,
                   torch::Device device, std::int64_t batch_chunks, std::string description)
    : encoder_(std::move(encoder)),
      log_mel_(log_mel),
      layout_(layout),
      device_(device),
      batch_chunks_(batch_chunks),
      description_(std::move(description)) {
  encoder_->to(device_);
  encoder_->eval();
}

torch::Tensor Embedder::encode(const torch::Tensor& chunks) {
  const auto& options = encoder_->options();
  torch::Tensor all;
  std::int64_t done = 0;
  for (const auto& part : chunks.split(batch_chunks_)) {
    const auto steps = arrange_tokens(encoder_->forward(part).narrow(1, 1, options.patches()), options, layout_);
    if (!all.defined()) all = torch::empty({chunks.size(0), steps.size(1), steps.size(2)});
    all.narrow(0, done, steps.size(0)).copy_(steps);
    done += steps.size(0);
  }
  return all;
}

std::vector<ClipEmbedding> Embedder::embed(const std::vector<torch::Tensor>& waveforms) {
  const torch::InferenceMode inference;
  const auto& options = encoder_->options();
  std::vector<torch::Tensor> chunks;  // [chunks of a clip, 1, L, F] each
  std::vector<std::int64_t> padded_frames;
  for (const auto& waveform : waveforms) {
    AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() > 0, "embed: a waveform must be [samples], got ",
                 waveform.sizes());
    auto features = log_mel_(waveform.to(device_));
    features = features::normalize(features, features::clip_statistics(features, log_mel_.options().clip_std));
    const auto pad = (options.frames - features.size(0) % options.frames) % options.frames;
    features = torch::constant_pad_nd(features, {0, 0, 0, pad});
    chunks.push_back(features.view({-1, 1, options.frames, options.mels}));
    padded_frames.push_back(pad);
  }

  const bool alone = chunks.size() == 1;  // perhaps hours: not to be copied
  const auto inputs = alone ? chunks[0] : torch::cat(chunks);
  const auto all = encode(inputs);  // [chunks of all clips, rows, W]

  std::vector<ClipEmbedding> embeddings;
  std::int64_t first = 0;
  for (std::size_t clip = 0; clip < waveforms.size(); ++clip) {
    const auto count = chunks[clip].size(0);
    const auto steps = count * options.grid_rows() - options.grid_rows() * padded_frames[clip] / options.frames;
    ClipEmbedding embedding;
    embedding.timestamps = all.narrow(0, first, count).flatten(0, 1).narrow(0, 0, steps);
    if (!alone) embedding.timestamps = embedding.timestamps.clone();  // or all clips would live as long as one
    embedding.scene = embedding.timestamps.mean(0);
    const double duration_ms =
        1000.0 * static_cast<double>(waveforms[clip].numel()) / static_cast<double>(sample_rate());
    for (std::int64_t step = 0; step < steps; ++step) {
      embedding.timestamps_ms.push_back(static_cast<double>(step) * (duration_ms / static_cast<double>(steps)));
    }
    embeddings.push_back(std::move(embedding));
    first += count;
  }
  return embeddings;
}

}  // namespace axlstm::embed
