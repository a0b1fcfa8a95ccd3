// Sample-rate conversion by soxr at its very high quality.
#pragma once

#include "axlstm/audio/decode.h"

namespace axlstm::audio {

/// `wave` at `sample_rate` Hz; itself where the rate is that already. At least one sample is returned.
/// Does not equal torchaudio's windowed-sinc resampler sample by sample.
Waveform resample(Waveform wave, int sample_rate);

}  // namespace axlstm::audio
