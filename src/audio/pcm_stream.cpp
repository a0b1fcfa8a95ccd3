#include "axlstm/audio/pcm_stream.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "axlstm/core/enum_names.h"
#include "axlstm/core/error.h"
#include "container.h"
#include "decoder.h"

namespace axlstm::audio {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 16;      // what a pipe holds
constexpr std::uint64_t kMaxHeader = std::uint64_t{16} << 20;  // chunks before the samples: pictures, notes
constexpr std::size_t kFormatBytes = 26;                       // of WAV's format chunk, as far as they are used
constexpr std::size_t kMaxFormat = 4096;
constexpr std::uint16_t kPcm = 1, kFloat = 3;

std::uint32_t number(std::string_view bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int n = 0; n < count; ++n) {
    value |= std::uint32_t{static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(n)])} << (8 * n);
  }
  return value;
}

std::size_t bytes_of(SampleFormat format) { return format == SampleFormat::kS16le ? 2 : 4; }

template <typename Value>
void agree(const std::optional<Value>& given, const Value& found, const std::string& name, const char* option,
           const std::string& given_text, const std::string& found_text) {
  need(!given || *given == found, str(name, ": ", option, " ", given_text, " contradicts the WAV header, which says ",
                                      found_text, "; leave it out"));
}

}  // namespace

PcmStream::PcmStream(ReadBytes read, const PcmArguments& given, const PcmFormat& by_default, std::string name)
    : read_(std::move(read)), name_(std::move(name)) {
  format_ = {given.samples.value_or(by_default.samples), given.sample_rate.value_or(by_default.sample_rate),
             given.channels.value_or(by_default.channels)};
  if (fill(12) && (pending_.starts_with("RIFF") || pending_.starts_with("RF64")) && pending_.substr(8, 4) == "WAVE") {
    wave_ = true;
    read_wave_header(given);
  }
  AXLSTM_CHECK(format_.sample_rate >= kMinSampleRate && format_.sample_rate <= kMaxPcmRate, name_, ": a rate of ",
               format_.sample_rate, " Hz; it must be ", kMinSampleRate, " to ", kMaxPcmRate);
  AXLSTM_CHECK(format_.channels >= 1 && format_.channels <= kMaxPcmChannels, name_, ": ", format_.channels,
               " channels; there must be 1 to ", kMaxPcmChannels);
}

std::size_t PcmStream::frame_bytes() const {
  return bytes_of(format_.samples) * static_cast<std::size_t>(format_.channels);
}

bool PcmStream::fill(std::size_t count) {
  while (pending_.size() < count && !ended_) {
    const std::size_t before = pending_.size();
    pending_.resize(before + kBlockBytes);
    const std::size_t got = read_(pending_.data() + before, kBlockBytes);
    pending_.resize(before + got);
    ended_ = got == 0;
  }
  return pending_.size() >= count;
}

void PcmStream::skip(std::uint64_t count) {
  while (count > 0 && fill(1)) {
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(count, pending_.size()));
    pending_.erase(0, now);
    count -= now;
  }
}

void PcmStream::read_format_chunk(const std::string& content, const PcmArguments& given) {
  SampleData said;
  read_format(content.substr(0, kFormatBytes), said);
  const bool is_s16 = said.format_tag == kPcm && said.bits == 16;
  AXLSTM_CHECK(is_s16 || (said.format_tag == kFloat && said.bits == 32), name_, ": WAV of format ", said.format_tag,
               " with ", said.bits,
               " bits; a stream must be 16-bit PCM or 32-bit float, as `ffmpeg -i … -f s16le -` makes it");
  AXLSTM_CHECK(said.sample_rate >= kMinSampleRate && said.sample_rate <= kMaxPcmRate && said.channels >= 1 &&
                   said.channels <= kMaxPcmChannels,
               name_, ": the WAV header claims ", said.channels, " channels at ", said.sample_rate, " Hz");
  format_ = {is_s16 ? SampleFormat::kS16le : SampleFormat::kF32le, static_cast<int>(said.sample_rate), said.channels};
  const auto text = [](SampleFormat samples) { return std::string(enum_name(samples)); };
  agree(given.samples, format_.samples, name_, "--input", given.samples ? text(*given.samples) : "",
        text(format_.samples));
  agree(given.sample_rate, format_.sample_rate, name_, "--rate", str(given.sample_rate.value_or(0)),
        str(format_.sample_rate, " Hz"));
  agree(given.channels, format_.channels, name_, "--channels", str(given.channels.value_or(0)), str(format_.channels));
}

void PcmStream::read_wave_header(const PcmArguments& given) {
  const bool is_64 = pending_.starts_with("RF64");
  pending_.erase(0, 12);
  bool known = false;
  std::uint64_t data_64 = 0, passed = 0;
  while (true) {
    AXLSTM_CHECK(fill(8), name_, ": the WAV header ends before its samples");
    const std::string id = pending_.substr(0, 4);
    const std::uint32_t size = number(pending_, 4, 4);
    pending_.erase(0, 8);
    if (id == "data") {
      AXLSTM_CHECK(known, name_, ": the WAV header does not say the format of its samples before them");
      const std::uint64_t bytes = is_64 && size == UINT32_MAX ? data_64 : size;
      const bool unknown = bytes == 0 || bytes == UINT64_MAX || (bytes <= UINT32_MAX && is_placeholder(bytes));
      if (!unknown) promised_ = left_ = bytes;
      return;
    }
    const std::uint64_t padded = std::uint64_t{size} + size % 2;
    passed += padded;
    AXLSTM_CHECK(passed <= kMaxHeader, name_, ": no samples in the first ", kMaxHeader >> 20, " MiB of the WAV header");
    if (id == "fmt " || id == "ds64") {
      AXLSTM_CHECK(size >= 16 && size <= kMaxFormat && fill(size), name_, ": the WAV header's part `", id, "` of ",
                   size, " bytes is damaged");
      if (id == "ds64") {
        data_64 = std::uint64_t{number(pending_, 12, 4)} << 32 | number(pending_, 8, 4);
      } else {
        read_format_chunk(pending_.substr(0, size), given);
        known = true;
      }
    }
    skip(padded);
  }
}

void PcmStream::refuse_first_frame() const {
  const auto* const first = interleaved_.data();
  const auto* const bad =
      std::find_if_not(first, first + format_.channels, [](float value) { return std::isfinite(value); });
  const bool of_one = bad != first + format_.channels;  // else all of them together are too large
  throw Error(str(name_, ": sample ", frames_, of_one && format_.channels > 1 ? str(" of channel ", bad - first) : "",
                  " (counted from 0, at ", static_cast<double>(frames_) / format_.sample_rate, " s) is ",
                  of_one ? *bad : *first, "; samples must be finite and at most about 1: is it ",
                  enum_name(format_.samples), " at all?"));
}

std::size_t PcmStream::convert(std::size_t frames) {
  const auto channels = static_cast<std::size_t>(format_.channels);
  const std::size_t bytes = bytes_of(format_.samples);
  const bool is_s16 = format_.samples == SampleFormat::kS16le;
  interleaved_.resize(frames * channels);
  for (std::size_t n = 0; n < interleaved_.size(); ++n) {
    const std::uint32_t raw = number(pending_, n * bytes, static_cast<int>(bytes));
    const float value =
        is_s16 ? static_cast<float>(static_cast<std::int16_t>(raw)) / 32768.0F : std::bit_cast<float>(raw);
    interleaved_[n] = value;
  }
  mono_.resize(frames);
  mix_down(interleaved_.data(), static_cast<std::int64_t>(frames), format_.channels, mono_.data());
  const auto bad = std::find_if_not(mono_.begin(), mono_.end(), [](float value) { return std::isfinite(value); });
  if (bad == mono_.end()) return frames;
  frames = static_cast<std::size_t>(bad - mono_.begin());  // those before it come first, however the input was divided
  mono_.resize(frames);
  if (frames == 0) refuse_first_frame();
  return frames;
}

std::span<const float> PcmStream::read() {
  const std::size_t bytes = frame_bytes();
  if (left_ < bytes) skip(UINT64_MAX);  // what follows the samples, so that the writer need not break off
  if (left_ < bytes || !fill(bytes)) return {};
  const auto usable = static_cast<std::size_t>(std::min<std::uint64_t>(pending_.size(), left_));
  const std::size_t frames = convert(usable / bytes);
  pending_.erase(0, frames * bytes);
  left_ -= frames * bytes;
  frames_ += static_cast<std::int64_t>(frames);
  return mono_;
}

std::string PcmStream::note() const {
  if (!promised_ || left_ < frame_bytes()) return "";
  return str("the WAV header promises ", *promised_, " bytes of samples, ", *promised_ - left_, " came");
}

void PcmStream::check_end() const {
  AXLSTM_CHECK(frames_ > 0, name_, ": no samples", pending_.empty() ? "" : str(", only ", pending_.size(), " bytes"));
  AXLSTM_CHECK(pending_.empty(), name_, ": ends within a sample: ", pending_.size(), " of ", frame_bytes(), " bytes (",
               format_.channels, " channels of ", enum_name(format_.samples), ") after sample ", frames_ - 1);
}

}  // namespace axlstm::audio
