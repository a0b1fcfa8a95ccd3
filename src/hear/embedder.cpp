#include "axlstm/hear/embedder.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::hear {

torch::Tensor arrange_tokens(const torch::Tensor& tokens, const model::EncoderOptions& encoder,
                             EmbeddingLayout layout) {
  const auto rows = encoder.grid_rows(), columns = encoder.grid_columns();
  if (layout == EmbeddingLayout::kTimeFrequency) return tokens.unflatten(1, {rows, columns}).flatten(2);
  return tokens.unflatten(1, {columns, rows}).transpose(1, 2).flatten(2);
}

Embedder::Embedder(model::Encoder encoder, const audio::LogMelOptions& log_mel, EmbeddingLayout layout,
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

std::vector<ClipEmbedding> Embedder::embed(const std::vector<torch::Tensor>& waveforms) {
  const torch::InferenceMode inference;
  const auto& options = encoder_->options();
  std::vector<torch::Tensor> chunks;  // [chunks of a clip, 1, L, F] each
  std::vector<std::int64_t> padded_frames;
  for (const auto& waveform : waveforms) {
    AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() > 0, "embed: a waveform must be [samples], got ",
                 waveform.sizes());
    const auto log_mel = log_mel_(waveform.to(device_));
    const auto normalised = audio::normalize(log_mel, audio::clip_statistics(log_mel, log_mel_.options().clip_std));
    const auto frames = normalised.size(0);
    const auto pad = (options.frames - frames % options.frames) % options.frames;
    chunks.push_back(torch::constant_pad_nd(normalised, {0, 0, 0, pad}).view({-1, 1, options.frames, options.mels}));
    padded_frames.push_back(pad);
  }

  std::vector<torch::Tensor> encoded;
  for (const auto& part : torch::cat(chunks).split(batch_chunks_)) {
    encoded.push_back(arrange_tokens(encoder_->forward(part).narrow(1, 1, options.patches()), options, layout_)
                          .to(torch::kCPU, torch::kFloat32));
  }
  const auto all = torch::cat(encoded);  // [chunks of all clips, rows, W]

  std::vector<ClipEmbedding> embeddings;
  std::int64_t first = 0;
  for (std::size_t clip = 0; clip < waveforms.size(); ++clip) {
    const auto count = chunks[clip].size(0);
    const auto steps = count * options.grid_rows() - options.grid_rows() * padded_frames[clip] / options.frames;
    ClipEmbedding embedding;
    embedding.timestamps = all.narrow(0, first, count).flatten(0, 1).narrow(0, 0, steps).clone();
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

}  // namespace axlstm::hear
