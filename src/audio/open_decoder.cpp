#include "open_decoder.h"

#include <algorithm>

#include "axlstm/core/error.h"
#include "container.h"

namespace axlstm::audio {
namespace {

constexpr std::uint64_t kUnreadBytes = 4096;  ///< behind the samples of a WAV file that are worth a word

constexpr std::uint16_t kPcm = 1, kFloat = 3, kMpegLayer12 = 0x50, kMpegLayer3 = 0x55;

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

}  // namespace

Opened open_decoder(const ByteSource& bytes) {
  const FirstBytes first = look_at(bytes);
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

}  // namespace axlstm::audio
