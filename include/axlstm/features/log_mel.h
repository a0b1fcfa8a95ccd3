// Waveform → log-mel spectrogram, on the device and in the precision of its input; equal to torchaudio's
// MelSpectrogram (HTK scale, no area normalisation, centred frames, reflect padding) followed by a logarithm.
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/audio/decode.h"
#include "axlstm/features/options.h"

namespace axlstm::features {

inline constexpr double kLogOffset = 1.1920929e-07;  ///< float32's epsilon: log(power + offset)
inline constexpr double kStdOffset = 1e-8;

/// The samples [T] as a float32 tensor, without a copy.
torch::Tensor as_tensor(audio::Waveform wave);

/// Triangular filters [n_fft/2 + 1, mels] in float32 arithmetic, as torchaudio builds them.
torch::Tensor mel_filterbank(const LogMelOptions& options);

/// Thread-safe but for to(); computes where the input is.
class LogMel {
 public:
  explicit LogMel(const LogMelOptions& options);

  /// [..., T] float32 or float64, T ≥ 1 → [..., 1 + T/hop, mels] natural logarithms. Clips too short to be reflected
  /// once are reflected as often as needed.
  torch::Tensor operator()(const torch::Tensor& waveform) const;

  /// The same of a waveform that has its n_fft/2 samples of context on both sides already:
  /// [..., T] with T ≥ n_fft → [..., 1 + (T − n_fft)/hop, mels].
  torch::Tensor without_padding(const torch::Tensor& waveform) const;

  /// Keeps window and filterbank on `device`, so that they need not be moved there for every input.
  void to(const torch::Device& device);

  const LogMelOptions& options() const { return options_; }

 private:
  LogMelOptions options_;
  torch::Tensor window_, filterbank_;
};

/// Position in a clip of `size` samples that is `position` once the clip is reflected at its ends, as often as needed,
/// without repeating the edge.
std::int64_t reflect(std::int64_t position, std::int64_t size);

struct ClipStatistics {
  double mean = 0.0;
  double std = 0.0;
};

/// Mean and standard deviation of a whole clip's log-mel [L', mels], in float64.
ClipStatistics clip_statistics(const torch::Tensor& log_mel, ClipStd kind);

/// Throws Error naming the clip if they are not finite.
void check_statistics(const ClipStatistics& statistics, const std::string& clip);

/// (x − mean) / (std + 1e-8)
torch::Tensor normalize(const torch::Tensor& log_mel, const ClipStatistics& statistics);

}  // namespace axlstm::features
