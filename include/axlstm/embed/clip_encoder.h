// Whatever turns waveforms into embeddings: a trained encoder, an untrained one, the HEAR-naive features.
#pragma once

#include <torch/types.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "axlstm/audio/decode.h"

namespace axlstm::embed {

/// The embeddings of one clip; float32 on the CPU.
struct ClipEmbedding {
  torch::Tensor scene;                ///< [W], the mean over time
  torch::Tensor timestamps;           ///< [T, W]
  std::vector<double> timestamps_ms;  ///< T times from 0 in equal steps
};

/// What is known of a clip once it was embedded step by step.
struct LongClip {
  double step_ms = 0;  ///< from the beginning of a step to that of the next one
  std::string note;    ///< what of the file is missing
};

class ClipEncoder {
 public:
  virtual ~ClipEncoder() = default;

  /// Takes an embedding [W] of one time step; valid during the call.
  using TakeStep = std::function<void(std::span<const float> step)>;

  /// Mono waveforms [T] float32 at sample_rate(), of any lengths ≥ 1.
  virtual std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms) = 0;

  /// Embeds a clip of any length and gives `take` the rows of ClipEmbedding::timestamps, to rounding; in constant
  /// memory where an encoder overrides it. Throws Error naming the clip if it cannot be used, perhaps after some steps.
  virtual LongClip embed_long(const audio::Recording& recording, const TakeStep& take);
  virtual int sample_rate() const = 0;

  /// Threads by which clips are decoded ahead of it: few where it needs the cores itself.
  virtual int decoding_threads() const { return 1; }

  /// True for one that is defined at a rate of its own, to which audio of any other is brought without being asked for;
  /// a trained one has the audio that it was trained on.
  virtual bool takes_any_rate() const { return false; }

  /// Model, weights and layout, for telling embeddings apart; empty if unknown.
  virtual std::string description() const { return {}; }
};

}  // namespace axlstm::embed
