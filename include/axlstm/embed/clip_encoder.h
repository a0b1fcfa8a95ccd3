// Whatever turns waveforms into embeddings: a trained encoder, an untrained one, the HEAR-naive features.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

namespace axlstm::embed {

/// The embeddings of one clip; float32 on the CPU.
struct ClipEmbedding {
  torch::Tensor scene;                ///< [W], the mean over time
  torch::Tensor timestamps;           ///< [T, W]
  std::vector<double> timestamps_ms;  ///< T times from 0 in equal steps
};

class ClipEncoder {
 public:
  virtual ~ClipEncoder() = default;

  /// Mono waveforms [T] float32 at sample_rate(), of any lengths ≥ 1.
  virtual std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms) = 0;
  virtual int sample_rate() const = 0;

  /// Threads by which clips are decoded ahead of it: few where it needs the cores itself.
  virtual int decoding_threads() const { return 1; }

  /// Model, weights and layout, for telling embeddings apart; empty if unknown.
  virtual std::string description() const { return {}; }
};

}  // namespace axlstm::embed
