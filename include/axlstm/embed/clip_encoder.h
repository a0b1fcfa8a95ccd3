// Whatever turns waveforms into embeddings: a trained encoder, an untrained one, the HEAR-naive features.
#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "axlstm/audio/decode.h"
#include "axlstm/embed/options.h"
#include "axlstm/features/options.h"

namespace axlstm::embed {

/// The embedding of one clip, of the kind that was asked for; float32 on the CPU. Clips that were embedded together may
/// share memory: who keeps few of many copies them.
struct ClipEmbedding {
  torch::Tensor scene;                ///< kScene: [W], the mean over time (scenes_are_means()); else undefined
  torch::Tensor timestamps;           ///< kTimestamp: [T, W]; else undefined
  std::vector<double> timestamps_ms;  ///< kTimestamp: T times from 0 in equal steps; else none
};

/// What is known of a clip once it was embedded step by step.
struct LongClip {
  double step_ms = 0;  ///< from the beginning of a step to that of the next one
  std::string note;    ///< what of the file is missing
};

/// Of an encoder that sees log-mel: which, and how much of it at once.
struct FrontEnd {
  features::LogMelOptions log_mel;
  std::int64_t chunk_frames = 0;

  /// What `frames` frames of a clip last, to a hop: how many samples lie behind the last one is not known of them.
  double seconds(std::int64_t frames) const {
    return static_cast<double>((frames - 1) * log_mel.hop) / static_cast<double>(log_mel.sample_rate);
  }
};

class ClipEncoder {
 public:
  virtual ~ClipEncoder() = default;

  /// Takes an embedding [W] of one time step; valid during the call.
  using TakeStep = std::function<void(std::span<const float> step)>;

  /// Mono waveforms [T] float32 at sample_rate(), of any lengths ≥ 1.
  virtual std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) = 0;

  /// Whether it has embed_long(); without it long clips are held whole, with their embeddings.
  virtual bool embeds_long() const { return false; }

  /// Embeds a clip of any length in constant memory and gives `take` the rows of ClipEmbedding::timestamps, to
  /// rounding; the scene is their mean. Throws Error naming the clip if it cannot be used, perhaps after some steps.
  virtual LongClip embed_long(const audio::Recording& recording, const TakeStep& take);

  /// Nothing of an encoder that makes something else of samples.
  virtual std::optional<FrontEnd> front_end() const { return {}; }

  /// As embed(), of clips that are log-mel [L', mels] as front_end() says already, normalised, float32 on the CPU, any
  /// L' ≥ 1. Times are to a hop. Throws Error where there is no front end.
  virtual std::vector<ClipEmbedding> embed_log_mel(const std::vector<torch::Tensor>& log_mels, EmbeddingKind kind);

  virtual int sample_rate() const = 0;

  /// Threads by which clips are decoded ahead of it: few where it needs the cores itself.
  virtual int decoding_threads() const { return 1; }

  /// Calls of embed() and embed_log_mel() that threads of their own may make at once, and that are faster so: two where
  /// the CPU prepares clips while a GPU embeds those before them.
  virtual int calls_at_once() const { return 1; }

  /// How much of a pass through the model a clip of so many seconds fills, where passes are always of one size: batches
  /// that fill one are fastest. 0 where it does not matter.
  virtual double passes(double /*seconds*/) const { return 0; }

  /// False for one whose scenes must be asked for: they are no means over the time steps.
  virtual bool scenes_are_means() const { return true; }

  /// True for one that is defined at a rate of its own, to which audio of any other is brought without being asked for;
  /// a trained one has the audio that it was trained on.
  virtual bool takes_any_rate() const { return false; }

  /// Model, weights and layout, for telling embeddings apart; empty if unknown.
  virtual std::string description() const { return {}; }
};

}  // namespace axlstm::embed
