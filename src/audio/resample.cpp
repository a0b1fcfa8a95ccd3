#include "axlstm/audio/resample.h"

#include <soxr.h>

#include <cmath>

#include "axlstm/core/error.h"

namespace axlstm::audio {

Waveform resample(Waveform wave, int sample_rate) {
  if (wave.sample_rate == sample_rate) return wave;
  const double ratio = static_cast<double>(sample_rate) / wave.sample_rate;
  Waveform out{std::vector<float>(static_cast<std::size_t>(std::ceil(wave.samples.size() * ratio)) + 1), sample_rate};
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
  std::size_t written = 0;
  const soxr_error_t failure =
      soxr_oneshot(wave.sample_rate, sample_rate, 1, wave.samples.data(), wave.samples.size(), nullptr,
                   out.samples.data(), out.samples.size(), &written, nullptr, &quality, nullptr);
  AXLSTM_CHECK(!failure, "resampling ", wave.sample_rate, " Hz → ", sample_rate,
               " Hz failed: ", soxr_strerror(failure));
  out.samples.resize(std::max<std::size_t>(written, 1));
  return out;
}

}  // namespace axlstm::audio
