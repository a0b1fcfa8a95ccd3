#include "axlstm/audio/decode.h"

#include <sndfile.h>

#include <algorithm>
#include <cmath>

#include "axlstm/core/error.h"
#include "container.h"
#include "decoder.h"

namespace axlstm::audio {
namespace {

constexpr std::int64_t kBlockFrames = 1 << 16;
// Beyond the first number of samples a file must not hold more than the second for each of its bytes. An encoder's
// hours of silence have some 400; a crafted file of a megabyte could fill the memory of any machine.
constexpr std::size_t kSamplesOfAnyFile = std::size_t{1} << 26;
constexpr std::size_t kMaxSamplesPerByte = 1000;
constexpr std::uint64_t kReservedSamplesPerByte = 8;
constexpr std::uint64_t kUnreadBytes = 4096;  ///< behind the samples of a WAV file that are worth a word

constexpr std::uint16_t kPcm = 1, kFloat = 3, kMpegLayer12 = 0x50, kMpegLayer3 = 0x55;

/// A sound that was opened, with the views of its bytes that the decoder needs.
struct Opened {
  std::unique_ptr<ByteSource> view;
  std::unique_ptr<Decoder> decoder;
  double share = 1;  ///< of the samples that the header promises, by bytes
  std::string note;
};

std::string percent(double share) {
  return str(std::floor(1000 * share) / 10, " % of what its header promises is there");
}

/// WAV and Wave64, whose headers may not say how much they hold.
Opened open_wave(const ByteSource& bytes, Container container) {
  const SampleData data = find_samples(bytes, container);
  Opened opened;
  opened.share = data.share();
  const std::uint64_t end = std::min(bytes.size(), data.begin + (data.placeholder ? data.available : data.claimed));
  if (data.found && (data.format_tag == kMpegLayer3 || data.format_tag == kMpegLayer12)) {
    opened.view = std::make_unique<WindowBytes>(bytes, data.begin, end);
    opened.decoder = open_mpeg(*opened.view, /*certain=*/true);
    if (opened.decoder) return opened;
  }
  if (data.unread > std::max(kUnreadBytes, data.claimed / 100))
    opened.note = str(data.unread, " bytes behind the samples that the header counts are not read");
  if (data.placeholder && (data.format_tag == kPcm || data.format_tag == kFloat)) {
    opened.view = std::make_unique<WindowBytes>(bytes, data.begin, end);
    opened.decoder = open_raw(*opened.view, {static_cast<int>(std::min<std::uint32_t>(data.sample_rate, 1U << 30)),
                                             data.channels, data.bits, data.format_tag == kFloat});
    return opened;
  }
  if (data.placeholder && data.size_at > 0 && data.available <= 0xFFFFFFFE) {  // of a codec in blocks
    auto patched = std::make_unique<PatchedBytes>(bytes);
    patched->replace(data.size_at, static_cast<std::uint32_t>(data.available));
    patched->replace(4, static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes.size() - 8, 0xFFFFFFFE)));
    opened.view = std::move(patched);
  }
  opened.decoder = open_sndfile(opened.view ? *opened.view : bytes);
  return opened;
}

/// By what the first bytes say; FFmpeg's libraries take what the others refuse.
Opened open(const ByteSource& bytes, const FirstBytes& first) {
  Opened opened;
  std::string refusal;
  try {
    switch (first.container) {
      case Container::kWave:
      case Container::kWave64:
        return open_wave(bytes, first.container);
      case Container::kMpeg:
        opened.decoder = open_mpeg(bytes, /*certain=*/true);
        break;
      case Container::kOgg:
        opened.decoder = open_ogg(bytes);
        break;
      case Container::kMedia:
      case Container::kNoAudio:
        break;
      case Container::kUnknown:
        if ((opened.decoder = open_mpeg(bytes, /*certain=*/false))) return opened;
        [[fallthrough]];
      default:
        opened.share = find_samples(bytes, first.container).share();
        opened.decoder = open_sndfile(bytes);
    }
    if (opened.decoder) return opened;
  } catch (const Error& failure) {
    refusal = failure.what();
  }
  if (first.container == Container::kNoAudio) throw Error(str("is not audio, but ", first.name));
  try {
    return {nullptr, open_ffmpeg(bytes), 1, ""};
  } catch (const Error& failure) {
    throw Error(str("cannot be decoded", first.name.empty() ? "" : str(" (", first.name, ")"), ": ",
                    refusal.empty() ? "" : refusal + "; ", failure.what()));
  }
}

/// Samples are read in blocks, so that memory follows what the file holds, not what its header claims.
Waveform read_all(Opened& opened, std::uint64_t file_bytes, const Segment& segment, const DecodeOptions& options) {
  Decoder& decoder = *opened.decoder;
  const int rate = decoder.sample_rate();
  const auto to_frames = [&](double seconds) {
    return static_cast<std::int64_t>(std::llround(std::clamp(seconds * rate, -1e18, 1e18)));
  };
  const bool to_end = segment.duration_seconds < 0;
  const std::int64_t start = to_frames(segment.start_seconds);
  const std::int64_t wanted = to_end ? std::int64_t{1} << 62 : to_frames(segment.duration_seconds);
  AXLSTM_CHECK(wanted > 0, "the segment of ", segment.duration_seconds, " s is empty");
  const std::int64_t skipped = start > 0 ? decoder.skip(start) : 0;
  AXLSTM_CHECK(start >= 0 && skipped == start, "the segment starts at ", segment.start_seconds, " s, the file lasts ",
               static_cast<double>(std::max<std::int64_t>(start < 0 ? decoder.promised() : skipped, 0)) / rate, " s");

  Waveform wave;
  wave.sample_rate = rate;
  const std::int64_t promised = decoder.promised();
  const std::int64_t likely = promised < 0 ? wanted : std::min(wanted, promised - start);
  // Grown step by step, a long waveform would be there twice. (What is not written takes no memory.)
  wave.samples.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(
      static_cast<std::uint64_t>(std::max<std::int64_t>(likely, 0)), kReservedSamplesPerByte * file_bytes)));
  std::int64_t got = 0;
  while (got < wanted) {
    const std::int64_t block = std::min(wanted - got, kBlockFrames);
    wave.samples.resize(static_cast<std::size_t>(got + block));
    const std::int64_t frames = decoder.read(wave.samples.data() + got, block);
    got += frames;
    wave.samples.resize(static_cast<std::size_t>(got));
    AXLSTM_CHECK(wave.samples.size() <= std::max(kSamplesOfAnyFile, kMaxSamplesPerByte * file_bytes), "more than ",
                 kMaxSamplesPerByte, " samples a byte, no encoder of audio writes such a file");
    if (frames < block) break;
  }
  if (got == 0 && start > 0) {
    throw Error(str("the segment starts at ", segment.start_seconds, " s, the file lasts ",
                    static_cast<double>(skipped) / rate, " s"));
  }
  AXLSTM_CHECK(got > 0, opened.share < 1 ? "truncated, none of the samples that its header promises is there"
                                         : "holds no audio");
  AXLSTM_CHECK(std::all_of(wave.samples.begin(), wave.samples.end(), [](float x) { return std::isfinite(x); }),
               "holds samples that are not finite numbers");

  const auto add_note = [&](const std::string& note) {
    if (!note.empty()) wave.note += (wave.note.empty() ? "" : "; ") + note;
  };
  add_note(opened.note);
  add_note(decoder.note());
  const bool at_end = got < wanted;  // else what is missing lies behind the segment
  opened.share = std::min(opened.share, decoder.share());
  if (at_end && promised >= 0 && skipped + got + decoder.uncertainty() < promised)
    opened.share = std::min(opened.share, static_cast<double>(skipped + got) / static_cast<double>(promised));
  if (at_end && opened.share < 1) {
    const bool whole = opened.share < options.min_decoded_fraction && decoder.is_whole_without_promise();
    AXLSTM_CHECK(whole || opened.share >= options.min_decoded_fraction, "truncated, ", percent(opened.share),
                 "; data.min_decoded_fraction ", options.min_decoded_fraction, " asks for more");
    add_note(whole ? percent(opened.share) + ", but it ends whole" : "ends early, " + percent(opened.share));
  }
  return wave;
}

Waveform decode(const ByteSource& bytes, const std::string& name, const Segment& segment,
                const DecodeOptions& options) {
  try {
    Opened opened = open(bytes, look_at(bytes));
    return read_all(opened, bytes.size(), segment, options);
  } catch (const Error& failure) {
    const std::string text = failure.what();
    throw Error(text.starts_with(name + ": ") ? text : name + ": " + text);
  }
}

}  // namespace

Waveform decode_file(const std::filesystem::path& path, const Segment& segment, const DecodeOptions& options) {
  const std::string name = path.string();
  std::error_code failure;
  const bool is_link = std::filesystem::is_symlink(path, failure);
  AXLSTM_CHECK(std::filesystem::exists(path, failure), name, ": no such file",
               is_link ? ", only a link to it (git annex get or datalad get fetches such)" : "");
  AXLSTM_CHECK(std::filesystem::is_regular_file(path, failure), name, ": is not a file");
  const FileBytes bytes(path);
  AXLSTM_CHECK(bytes.size() > 0, name, ": is empty (0 bytes)");
  return decode(bytes, name, segment, options);
}

Waveform decode_memory(std::string_view bytes, const std::string& name, const Segment& segment,
                       const DecodeOptions& options) {
  AXLSTM_CHECK(!bytes.empty(), name, ": is empty (0 bytes)");
  return decode(MemoryBytes(bytes), name, segment, options);
}

std::string decoder_version() {
  const std::string ffmpeg = ffmpeg_version();
  return str(sf_version_string(), ", ", mpg123_version(), ", ", ffmpeg.empty() ? "no FFmpeg" : ffmpeg);
}

}  // namespace axlstm::audio
