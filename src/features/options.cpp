#include "axlstm/features/options.h"

namespace axlstm::features {

void visit(LogMelOptions& audio, Visitor& v) {
  v.begin_section("audio", "The front end: 16 kHz mono → log-mel spectrogram. The defaults are the paper's.");
  v.integer("sample_rate", audio.sample_rate, {1000, 384000},
            "Hz; audio at other rates is resampled (soxr, very high quality)");
  v.integer("n_fft", audio.n_fft, {16, 65536}, "points of the Fourier transform");
  v.integer("window", audio.window, {16, 65536}, "samples of the periodic Hann window");
  v.integer("hop", audio.hop, {1, 65536}, "samples from frame to frame");
  v.integer("mels", audio.mels, {1, 1024}, "mel bins (HTK scale, no area normalisation)");
  v.number("f_min_hz", audio.f_min_hz, {0, 1e6}, "lowest frequency of the filterbank");
  v.number("f_max_hz", audio.f_max_hz, {1, 1e6}, "highest frequency of the filterbank");
  v.choice(
      "clip_std", audio.clip_std,
      "how a clip's standard deviation is estimated; the released pre-training used biased, its extraction unbiased");
  v.end_section();
}

}  // namespace axlstm::features
