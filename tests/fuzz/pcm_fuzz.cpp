// Sound from a pipe: samples are finite, and the same ones however the bytes are divided.
#include <algorithm>
#include <cmath>
#include <vector>

#include "axlstm/audio/pcm_stream.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

namespace {

struct Read {
  std::vector<float> samples;
  bool refused = false;
};

/// The first byte of the input says what is known of raw samples; the others come in pieces.
Read read_all(std::string_view bytes, unsigned known, std::size_t piece) {
  std::size_t at = 0;
  const auto source = [&](char* target, std::size_t count) {
    const std::size_t got = std::min({count, piece, bytes.size() - at});
    std::copy_n(bytes.data() + at, got, target);
    at += got;
    return got;
  };
  audio::PcmArguments given;
  if (known & 1U) given.samples = audio::SampleFormat::kF32le;
  if (known & 2U) given.channels = 1 + static_cast<int>(known >> 4);
  if (known & 4U) given.sample_rate = 8000;
  Read read;
  read.refused = !fuzz::accepted([&] {
    audio::PcmStream stream(source, given, {audio::SampleFormat::kS16le, 16000, 1}, "input");
    for (auto samples = stream.read(); !samples.empty(); samples = stream.read()) {
      for (const float sample : samples) fuzz::require(std::isfinite(sample), "samples are finite");
      read.samples.insert(read.samples.end(), samples.begin(), samples.end());
      fuzz::require(stream.frames() == static_cast<std::int64_t>(read.samples.size()), "frames are counted");
    }
    stream.note();
    stream.check_end();
  });
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = fuzz::text_of(data + 1, size - 1);
  const Read whole = read_all(bytes, data[0], size), pieces = read_all(bytes, data[0], 3);
  fuzz::require(whole.samples == pieces.samples && whole.refused == pieces.refused, "the pieces do not matter");
  return 0;
}
