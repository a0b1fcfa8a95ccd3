// Waveforms → timestamp and scene embeddings.
#pragma once

#include <c10/core/Stream.h>
#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "axlstm/embed/chunk_encoder.h"
#include "axlstm/embed/chunks.h"
#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/options.h"
#include "axlstm/features/log_mel.h"
#include "axlstm/model/encoder.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::embed {

/// Splits the normalised log-mel of a whole clip into chunks of the encoder's length (the last one padded),
/// encodes them without a mask and joins the time steps that audio stands behind.
class Embedder final : public ClipEncoder {
 public:
  /// `description` names the weights and `embedding`. At most `batch_chunks` chunks go through the encoder at once; 0:
  /// as the device likes it.
  Embedder(model::Encoder encoder, const features::LogMelOptions& log_mel, const EmbeddingOptions& embedding,
           runtime::Arithmetic arithmetic, std::string description = {}, std::int64_t batch_chunks = 0);

  /// Clips of different lengths share batches, which changes no number of theirs.
  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) override;
  bool embeds_long() const override { return true; }
  LongClip embed_long(const audio::Recording& recording, const TakeStep& take) override;
  std::optional<FrontEnd> front_end() const override;
  std::vector<ClipEmbedding> embed_log_mel(const std::vector<torch::Tensor>& log_mels, EmbeddingKind kind) override;
  int sample_rate() const override { return static_cast<int>(log_mel_.options().sample_rate); }
  int decoding_threads() const override;
  int calls_at_once() const override;
  double passes(double seconds) const override;
  std::string description() const override { return description_; }

  /// ChunkEncoder::encode.
  torch::Tensor encode(const torch::Tensor& chunks) { return chunk_encoder_.encode(chunks); }

  /// Throws UsageError naming the key if the encoder cannot carry a state from chunk to chunk.
  void check_carries() const;

  /// The time steps [1, L / patch frames, W] of the next chunk [1, 1, L, F] of a recording, which see all before it
  /// through `state`, on the CPU. Not beside another call.
  torch::Tensor encode_next(const torch::Tensor& chunk, model::EncoderState& state);

  const model::EncoderOptions& encoder_options() const { return encoder_->options(); }
  const features::LogMel& log_mel() const { return log_mel_; }
  Padding padding() const { return embedding_.padding; }
  const torch::Device& device() const { return arithmetic_.device; }  ///< where chunks are encoded

 private:
  /// What `make` returns, computed on a stream of its own and waited for: it does not wait for clips that are encoded.
  template <typename Make>
  Chunks prepare(const Make& make) const;
  std::vector<ClipEmbedding> embed(const Chunks& chunks, const std::vector<double>& durations_ms, EmbeddingKind kind);
  std::vector<ClipEmbedding> scenes(const Chunks& chunks, const std::vector<std::int64_t>& steps);

  model::Encoder encoder_;
  features::LogMel log_mel_;
  EmbeddingOptions embedding_;
  runtime::Arithmetic arithmetic_;
  ChunkEncoder chunk_encoder_;
  std::string description_;
  std::optional<c10::Stream> preparing_;  ///< of a GPU
};

}  // namespace axlstm::embed
