// Kaldi's log-mel filterbank, which speech and audio encoders of other projects are fed with (AST, SSAST, AudioMAE,
// BEATs); equal to torchaudio.compliance.kaldi.fbank with use_energy and dither off.
#pragma once

#include <torch/types.h>

#include <array>

#include "axlstm/core/enum_names.h"

namespace axlstm::features {

enum class KaldiWindow { kPovey, kHanning };
constexpr auto enum_names(KaldiWindow) { return std::array{"povey", "hanning"}; }

struct KaldiFbankOptions {
  std::int64_t sample_rate = 16000;  ///< Hz; frames are 25 ms long and 10 ms apart
  std::int64_t mels = 128;
  KaldiWindow window = KaldiWindow::kPovey;
  bool remove_mean = false;  ///< of the whole waveform, before anything else
  double scale = 1;          ///< of the waveform: 32768 for models that were fed with 16-bit numbers
  double mean = 0, std = 1;  ///< features leave as (f − mean) / std
};

struct KaldiMelOptions {
  std::int64_t sample_rate = 16000;  ///< Hz
  std::int64_t fft = 512;            ///< points
  std::int64_t mels = 128;
  double f_min_hz = 20, f_max_hz = 8000;
};

/// Triangles that are straight on the mel scale, as the kind of tensor that `tensor` says: [fft / 2 + 1, mels]; the
/// last bin belongs to none.
torch::Tensor kaldi_mel_filters(const KaldiMelOptions& options, const torch::TensorOptions& tensor);

/// waveform [..., T] float32, T at least a frame → [..., 1 + ⌊(T − frame) / shift⌋, mels]. Throws Error for less.
torch::Tensor kaldi_fbank(const torch::Tensor& waveform, const KaldiFbankOptions& options);

}  // namespace axlstm::features
