// Waveforms → the chunks that an encoder sees: log-mel, normalised by each clip's own statistics, cut to its length.
#pragma once

#include <torch/types.h>

#include <vector>

#include "axlstm/embed/options.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::embed {

struct Chunks {
  torch::Tensor input;                      ///< [N, 1, L, F] float32 on the device: the chunks of all clips in turn
  std::vector<std::int64_t> counts;         ///< of each clip
  std::vector<std::int64_t> padded_frames;  ///< padding at the end of each clip's last chunk
};

/// How clips are computed: one after the other, or all by one chain of operators of fixed shapes, whose numbers for a
/// clip do not depend on its company. The latter is what a GPU needs.
enum class Batching { kOneByOne, kTogether };

/// Log-mel [L', F], any L' ≥ 1 → [L' + pad, F].
torch::Tensor padded(const torch::Tensor& log_mel, std::int64_t pad, Padding padding);

/// Chunks of `frames` frames of mono waveforms [T] float32 on the CPU, any T ≥ 1, on `device`. Throws Error for a
/// waveform of another shape.
Chunks chunks_of(const std::vector<torch::Tensor>& waveforms, const features::LogMel& log_mel, std::int64_t frames,
                 const torch::Device& device, Batching batching, Padding padding = Padding::kZero);

/// The same of log-mel [L', mels] that is normalised already, any L' ≥ 1: clips one by one or together give the same.
Chunks chunks_of_log_mel(const std::vector<torch::Tensor>& log_mels, std::int64_t mels, std::int64_t frames,
                         const torch::Device& device, Padding padding = Padding::kZero);

}  // namespace axlstm::embed
