#include "axlstm/audio/decode.h"

#include <sndfile.h>

#include <algorithm>
#include <limits>

#include "axlstm/core/error.h"
#include "decoder.h"
#include "sound.h"

namespace axlstm::audio {
namespace {

constexpr std::int64_t kBlockFrames = 1 << 16;
constexpr std::uint64_t kReservedSamplesPerByte = 8;

}  // namespace

std::optional<Waveform> decode_unless_long(const Recording& recording, double long_seconds) {
  Sound sound(recording);
  Waveform wave;
  wave.sample_rate = sound.sample_rate();
  const double most = long_seconds * wave.sample_rate;
  const std::int64_t likely = sound.likely_frames();
  if (static_cast<double>(likely) > most) return std::nullopt;
  // Grown step by step, a waveform would be there twice. (What is not written takes no memory.)
  const double expected = likely < 0 ? most + kBlockFrames : static_cast<double>(likely);
  wave.samples.reserve(
      static_cast<std::size_t>(std::min(expected, static_cast<double>(kReservedSamplesPerByte * sound.file_bytes()))));
  // Samples are read in blocks, so that memory follows what the file holds, not what its header claims.
  std::size_t got = 0;
  for (std::int64_t frames = kBlockFrames; frames == kBlockFrames;) {
    wave.samples.resize(got + kBlockFrames);
    frames = sound.read(wave.samples.data() + got, kBlockFrames);
    got += static_cast<std::size_t>(frames);
    wave.samples.resize(got);
    if (static_cast<double>(got) > most) return std::nullopt;
  }
  wave.note = sound.note();
  return wave;
}

Waveform decode(const Recording& recording) {
  return *decode_unless_long(recording, std::numeric_limits<double>::infinity());
}

Waveform decode_file(const std::filesystem::path& path, const Segment& segment, const DecodeOptions& options) {
  return decode({path, {}, segment, options});
}

Waveform decode_memory(std::string_view bytes, const std::string& name, const Segment& segment,
                       const DecodeOptions& options) {
  return decode({name, bytes, segment, options});
}

std::string decoder_version() {
  const std::string ffmpeg = ffmpeg_version();
  return str(sf_version_string(), ", ", mpg123_version(), ", ", ffmpeg.empty() ? "no FFmpeg" : ffmpeg);
}

}  // namespace axlstm::audio
