// Front-end settings; plain values, free of LibTorch.
#pragma once

#include <array>
#include <cstdint>

#include "axlstm/core/visitor.h"

namespace axlstm::features {

/// How a clip's standard deviation is estimated: unbiased (released extraction) or biased (released pre-training).
enum class ClipStd { kUnbiased, kBiased };
constexpr auto enum_names(ClipStd) { return std::array{"unbiased", "biased"}; }

struct LogMelOptions {
  std::int64_t sample_rate = 16000;
  std::int64_t n_fft = 400;
  std::int64_t window = 400;
  std::int64_t hop = 160;
  std::int64_t mels = 80;
  double f_min_hz = 50.0;
  double f_max_hz = 8000.0;
  ClipStd clip_std = ClipStd::kUnbiased;
};

/// Section `audio`.
void visit(LogMelOptions& audio, Visitor& v);

}  // namespace axlstm::features
