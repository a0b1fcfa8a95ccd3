// The log-mel spectrogram that PaSST is fed with (Koutini et al., 2022); equal to that of the package hear21passt.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace axlstm::features {

struct PasstMelOptions {
  static constexpr std::int64_t kSampleRate = 32000;  ///< Hz

  std::int64_t hop = 320;   ///< samples from frame to frame: 10 ms
  double f_max_hz = 15000;  ///< highest frequency of the filterbank
};

/// waveform [..., T] float32 at 32 kHz, T > 513 → [..., 1 + ⌊(T − 1) / hop⌋, 128]: pre-emphasis, centred frames of 25
/// ms, Kaldi's mel filters, (log(power + 1e-5) + 4.5) / 5. Throws Error for a shorter clip, which cannot be reflected.
torch::Tensor passt_mel(const torch::Tensor& waveform, const PasstMelOptions& options = {});

}  // namespace axlstm::features
