// Sound whose end is not known → embeddings of its chunks.
#pragma once

#include <torch/types.h>

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "axlstm/embed/embedder.h"
#include "axlstm/embed/options.h"
#include "axlstm/features/log_mel_stream.h"
#include "axlstm/features/running_statistics.h"

namespace axlstm::embed {

/// What the chunks of a stream see of the sound before them: kReset: nothing, as those of a file; kCarry: all of it,
/// through the state of a recurrent encoder.
enum class StreamState { kReset, kCarry };
constexpr auto enum_names(StreamState) { return std::array{"reset", "carry"}; }

/// One vector and the sound that it is of, in milliseconds from the first sample.
struct StreamEmbedding {
  double start_ms = 0, end_ms = 0;
  torch::Tensor embedding;  ///< [W] float32 on the CPU
};

/// Cuts sound into the chunks of Embedder and gives the embeddings of each as soon as its last frame is there: those
/// that Embedder makes of the whole clip, if they are normalised by the clip's statistics. Memory does not grow. Used
/// by one thread.
class EmbeddingStream {
 public:
  using Take = std::function<void(const StreamEmbedding&)>;

  /// kScene: a vector for each chunk, the mean over its time steps; kTimestamp: one for each time step. Without
  /// `statistics` a chunk is normalised by those of all frames up to its end. Chunks are encoded when `together` of
  /// them are there; with more than one they come later, but cost less. `embedder` must outlive this.
  /// Throws UsageError if `state` is kCarry, which takes one chunk after the other, and the encoder cannot do that.
  EmbeddingStream(Embedder& embedder, EmbeddingKind kind, const std::optional<features::ClipStatistics>& statistics,
                  Take take, std::int64_t together = 1, StreamState state = StreamState::kReset);

  /// Samples at the embedder's rate. Throws Error for embeddings that are not finite.
  void push(std::span<const float> samples);

  /// Embeds the frames that fill no chunk, padded; time steps that no sound stands behind are dropped.
  void finish();

  /// Of the log-mel of all frames so far; not before the first.
  features::ClipStatistics statistics() const;
  std::int64_t frames() const { return frames_; }              ///< so far
  std::int64_t samples() const { return log_mel_.samples(); }  ///< so far

 private:
  /// A chunk that was not encoded yet.
  struct Chunk {
    torch::Tensor input;      ///< [1, 1, L, F]
    std::int64_t start = 0;   ///< frames before it
    std::int64_t frames = 0;  ///< without the padding behind them
  };

  void take_frames(const torch::Tensor& log_mel);
  void end_chunk();
  void embed_chunks();
  void give_steps(const Chunk& chunk, const torch::Tensor& steps);

  Embedder& embedder_;
  EmbeddingKind kind_;
  std::optional<features::ClipStatistics> fixed_;
  Take take_;
  std::size_t together_;
  std::optional<model::EncoderState> state_;  ///< none: chunks do not see those before them
  features::LogMelStream log_mel_;
  features::RunningStatistics running_;
  std::int64_t frames_ = 0;        ///< in all
  std::int64_t chunk_start_ = 0;   ///< frames before the chunk
  std::int64_t chunk_frames_ = 0;  ///< of the chunk that are there
  std::vector<torch::Tensor> chunk_;
  torch::Tensor before_;       ///< the log-mel of the chunk before it, if padding takes from there
  std::vector<Chunk> chunks_;  ///< that are there and not encoded yet
};

}  // namespace axlstm::embed
