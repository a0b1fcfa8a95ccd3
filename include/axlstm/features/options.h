// Front-end settings; plain values, free of LibTorch.
#pragma once

#include <cstdint>

namespace axlstm::features {

/// How a clip's standard deviation is estimated: unbiased (released extraction) or biased (released pre-training).
enum class ClipStd { kUnbiased, kBiased };

struct LogMelOptions {
  std::int64_t sample_rate = 16000;  ///< Hz
  std::int64_t n_fft = 400;
  std::int64_t window = 400;  ///< samples of the periodic Hann window
  std::int64_t hop = 160;     ///< samples
  std::int64_t mels = 80;
  double f_min_hz = 50.0;
  double f_max_hz = 8000.0;
  ClipStd clip_std = ClipStd::kUnbiased;
};

}  // namespace axlstm::features
