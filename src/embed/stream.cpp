#include "axlstm/embed/stream.h"

#include <torch/torch.h>

#include <algorithm>

#include "axlstm/core/error.h"
#include "axlstm/embed/chunks.h"

namespace axlstm::embed {

EmbeddingStream::EmbeddingStream(Embedder& embedder, EmbeddingKind kind,
                                 const std::optional<features::ClipStatistics>& statistics, Take take,
                                 std::int64_t together, StreamState state)
    : embedder_(embedder),
      kind_(kind),
      fixed_(statistics),
      take_(std::move(take)),
      together_(static_cast<std::size_t>(together)),
      log_mel_(embedder.log_mel(), embedder.device()) {
  if (state == StreamState::kReset) return;
  embedder.check_carries();
  state_.emplace();
  together_ = 1;
}

void EmbeddingStream::push(std::span<const float> samples) {
  const torch::InferenceMode inference;
  take_frames(log_mel_.push(samples));
}

void EmbeddingStream::finish() {
  const torch::InferenceMode inference;
  take_frames(log_mel_.finish());
  if (chunk_frames_ > 0) end_chunk();
  embed_chunks();
}

features::ClipStatistics EmbeddingStream::statistics() const {
  return running_.so_far(embedder_.log_mel().options().clip_std);
}

void EmbeddingStream::take_frames(const torch::Tensor& log_mel) {
  const auto wanted = embedder_.encoder_options().frames;
  if (fixed_ && log_mel.size(0) > 0) running_.add(log_mel);
  for (std::int64_t taken = 0; taken < log_mel.size(0);) {
    const auto count = std::min(log_mel.size(0) - taken, wanted - chunk_frames_);
    const auto part = log_mel.narrow(0, taken, count);
    if (!fixed_) running_.add(part);
    chunk_.push_back(part);
    chunk_frames_ += count;
    frames_ += count;
    taken += count;
    if (chunk_frames_ == wanted) end_chunk();
  }
}

void EmbeddingStream::end_chunk() {
  const auto& encoder = embedder_.encoder_options();
  const auto pad = encoder.frames - chunk_frames_;
  const auto log_mel = torch::cat(chunk_);
  // One chunk before it is enough to mirror: the padding is shorter than a chunk.
  const auto mirrored = pad > 0 && before_.defined() ? torch::cat({before_, log_mel}) : log_mel;
  const auto features =
      padded(features::normalize(mirrored, fixed_ ? *fixed_ : statistics()), pad, embedder_.padding());
  const auto input = features.narrow(0, mirrored.size(0) - log_mel.size(0), encoder.frames);
  chunks_.push_back({input.view({1, 1, encoder.frames, encoder.mels}), chunk_start_, chunk_frames_});
  if (embedder_.padding() == Padding::kReflect) before_ = log_mel;
  chunk_start_ += chunk_frames_;
  chunk_frames_ = 0;
  chunk_.clear();
  if (chunks_.size() == together_) embed_chunks();
}

void EmbeddingStream::embed_chunks() {
  if (chunks_.empty()) return;
  std::vector<torch::Tensor> inputs;
  for (const Chunk& chunk : chunks_) inputs.push_back(chunk.input);
  const auto steps = state_ ? embedder_.encode_next(inputs.front(), *state_) : embedder_.encode(torch::cat(inputs));
  for (std::size_t n = 0; n < chunks_.size(); ++n) give_steps(chunks_[n], steps[static_cast<std::int64_t>(n)]);
  chunks_.clear();
}

/// Gives those of a chunk's steps that sound stands behind.
void EmbeddingStream::give_steps(const Chunk& chunk, const torch::Tensor& all) {
  const auto& encoder = embedder_.encoder_options();
  const auto& audio = embedder_.log_mel().options();
  const auto pad = encoder.frames - chunk.frames;
  const auto count = encoder.grid_rows() - encoder.grid_rows() * pad / encoder.frames;
  const auto steps = all.narrow(0, 0, count);
  const auto ms = [&](std::int64_t samples) {
    return 1000.0 * static_cast<double>(samples) / static_cast<double>(audio.sample_rate);
  };
  const auto sound = pad > 0 ? log_mel_.samples() : INT64_MAX;  // the end is known only of the last chunk
  const auto give = [&](std::int64_t first_frame, std::int64_t frames, const torch::Tensor& embedding) {
    const auto start = (chunk.start + first_frame) * audio.hop;
    take_({ms(start), ms(std::clamp(start + frames * audio.hop, start, std::max(start, sound))), embedding});
  };
  AXLSTM_CHECK(steps.isfinite().all().item<bool>(), "the embedding of the sound from ", ms(chunk.start * audio.hop),
               " ms on holds NaN or infinite values");
  if (kind_ == EmbeddingKind::kScene) {
    give(0, encoder.frames, steps.mean(0));
  } else {
    for (std::int64_t step = 0; step < count; ++step)
      give(step * encoder.patch_frames, encoder.patch_frames, steps[step]);
  }
}

}  // namespace axlstm::embed
