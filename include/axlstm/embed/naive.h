// HEAR-naive, the baseline of HEAR: a log-mel spectrogram through a fixed random projection. No training.
//
// Frames of 4096 samples every 1102 (25 ms at 44.1 kHz), 2048 zeros on each side, periodic Hann window;
// embedding = log(mel(|rfft|^2) + 1e-4) @ (rand(256, 4096) / 16), scene = mean over frames.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/task_embeddings.h"

namespace axlstm::embed {

class NaiveEmbedder {
 public:
  static constexpr int kSampleRate = 44100;
  static constexpr std::int64_t kDimension = 4096;

  /// Draws the projection from a generator of its own, seeded with 0; the default generator is not touched.
  NaiveEmbedder();

  /// `waveform`: float32 [T] at 44.1 kHz on the CPU, T >= 1. Throws Error for anything else.
  torch::Tensor scene(const torch::Tensor& waveform) const;  // [4096]

  /// As scene: [L, 4096] with L = 1 + T / 1102, and the times at which the frames are centred.
  FileEmbedding timestamps(const torch::Tensor& waveform) const;

  /// The same of a clip of any length, in constant memory: `take` gets the embedding of each frame.
  LongClip timestamps(const audio::Recording& recording, const ClipEncoder::TakeStep& take) const;

 private:
  torch::Tensor log_mel(const torch::Tensor& waveform) const;  // [L, 256]
  torch::Tensor without_padding(
      const torch::Tensor& waveform) const;  // its frames [L, 256] begin every hop from its start on

  torch::Tensor window_;       // [4096]
  torch::Tensor mel_filters_;  // [2049, 256]
  torch::Tensor projection_;   // [256, 4096]
};

/// librosa's default triangular mel filters: linear below 1 kHz and logarithmic above (Slaney's Auditory Toolbox),
/// from 0 Hz to half the sample rate, each scaled to unit area. [bins, n_mels] float32, bins = fft_size / 2 + 1
torch::Tensor slaney_mel_filters(double sample_rate_hz, std::int64_t fft_size, std::int64_t n_mels);

}  // namespace axlstm::embed
