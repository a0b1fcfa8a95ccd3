// Audio in memory, whole and in part: samples are finite, and there are as many as the segment says.
#include <cmath>

#include "axlstm/audio/decode.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  fuzz::accepted([&] {
    const audio::Waveform wave = audio::decode_memory(bytes, "input");
    fuzz::require(wave.sample_rate > 0 && !wave.samples.empty(), "decoded audio has a rate and samples");
    for (const float sample : wave.samples) fuzz::require(std::isfinite(sample), "decoded samples are finite");
  });
  const audio::Segment segment{0.01, 0.02};
  fuzz::accepted([&] {
    const audio::Waveform part = audio::decode_memory(bytes, "input", segment);
    fuzz::require(part.samples.size() <= static_cast<std::size_t>(std::llround(0.02 * part.sample_rate)),
                  "a segment is no longer than asked for");
  });
  return 0;
}
