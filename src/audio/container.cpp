#include "container.h"

#include <array>
#include <cctype>
#include <string_view>

#include "axlstm/core/error.h"

namespace axlstm::audio {
namespace {

constexpr std::uint64_t kMaxId3 = std::uint64_t{1} << 28;
constexpr int kMaxChunks = 10'000;
constexpr std::size_t kFormatBytes = 26;  // of WAV's format chunk, as far as they are used
constexpr std::size_t kZeros = 1 << 16;   // before a sound, that many bytes at most
// Writers that count their header among the samples, or round up, promise a little too much.
constexpr std::uint64_t kHeaderBytes = 64;

struct Magic {
  std::size_t at;
  std::string_view bytes;
  Container container;
  const char* name;
};

using namespace std::string_view_literals;

constexpr std::array kMagics{
    Magic{0, "fLaC"sv, Container::kFlac, "FLAC"},
    Magic{0, "OggS"sv, Container::kOgg, "Ogg"},
    Magic{0, "FORM"sv, Container::kAiff, "AIFF"},
    Magic{0, "caff"sv, Container::kCaf, "CAF"},
    Magic{0, ".snd"sv, Container::kAu, "AU"},
    Magic{0, "riff\x2E\x91\xCF\x11"sv, Container::kWave64, "Wave64"},
    Magic{4, "ftyp"sv, Container::kMedia, "MP4 or QuickTime"},
    Magic{4, "moov"sv, Container::kMedia, "QuickTime"},
    Magic{4, "mdat"sv, Container::kMedia, "QuickTime"},
    Magic{4, "wide"sv, Container::kMedia, "QuickTime"},
    Magic{4, "free"sv, Container::kMedia, "MP4 or QuickTime"},
    Magic{4, "skip"sv, Container::kMedia, "MP4 or QuickTime"},
    Magic{4, "styp"sv, Container::kMedia, "MP4"},
    Magic{4, "moof"sv, Container::kMedia, "MP4"},
    Magic{0, ".RMF"sv, Container::kMedia, "RealMedia"},
    Magic{0, "\x1A\x45\xDF\xA3"sv, Container::kMedia, "Matroska or WebM"},
    Magic{0, "\x30\x26\xB2\x75"sv, Container::kMedia, "ASF (WMA)"},
    Magic{0, "NIST_1A"sv, Container::kUnknown, "NIST SPHERE"},
    Magic{0, "PVF1"sv, Container::kUnknown, "PVF"},
    Magic{0, "#!AMR"sv, Container::kMedia, "AMR"},
    Magic{0, "MAC "sv, Container::kMedia, "Monkey's Audio"},
    Magic{0, "wvpk"sv, Container::kMedia, "WavPack"},
    Magic{0, "TTA1"sv, Container::kMedia, "TTA"},
    Magic{0, "FLV\x01"sv, Container::kMedia, "FLV"},
    Magic{0, "ADIF"sv, Container::kMedia, "AAC (ADIF)"},
    Magic{0, "\x0B\x77"sv, Container::kMedia, "AC-3"},
    Magic{0, "version https://git-lfs"sv, Container::kNoAudio,
          "a Git LFS pointer; the file itself is got by: git lfs pull"},
    Magic{0, "/annex/objects/"sv, Container::kNoAudio, "a git-annex pointer; the file itself is got by: git annex get"},
    Magic{0, "#EXTM3U"sv, Container::kNoAudio, "a playlist (M3U)"},
    Magic{0, "[playlist]"sv, Container::kNoAudio, "a playlist (PLS)"},
    Magic{0, "%PDF"sv, Container::kNoAudio, "a PDF"},
    Magic{0, "\x89PNG"sv, Container::kNoAudio, "a picture (PNG)"},
    Magic{0, "\xFF\xD8\xFF"sv, Container::kNoAudio, "a picture (JPEG)"},
    Magic{0, "GIF8"sv, Container::kNoAudio, "a picture (GIF)"},
    Magic{0, "PK\x03\x04"sv, Container::kNoAudio, "a ZIP archive"},
    Magic{0, "\x1F\x8B"sv, Container::kNoAudio, "compressed by gzip"},
    Magic{0, "\x28\xB5\x2F\xFD"sv, Container::kNoAudio, "compressed by zstd"},
    Magic{0,
          "\xFD"
          "7zXZ"sv,
          Container::kNoAudio, "compressed by xz"},
    Magic{0, "BZh"sv, Container::kNoAudio, "compressed by bzip2"},
    Magic{0, "Rar!"sv, Container::kNoAudio, "a RAR archive"},
    Magic{0, "7z\xBC\xAF"sv, Container::kNoAudio, "a 7z archive"},
    Magic{257, "ustar"sv, Container::kNoAudio, "a tar archive"},
    Magic{0, "PAR1"sv, Container::kNoAudio, "a Parquet file"},
    Magic{0, "\x89HDF"sv, Container::kNoAudio, "an HDF5 file"},
    Magic{0, "\x93NUMPY"sv, Container::kNoAudio, "a NumPy array"},
};

std::uint64_t number(std::string_view bytes, std::size_t at, int count, bool big_endian) {
  std::uint64_t value = 0;
  for (int n = 0; n < count; ++n) {
    const auto byte = static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(n)]);
    value |= std::uint64_t{byte} << (8 * (big_endian ? count - 1 - n : n));
  }
  return value;
}

/// Where the sound begins behind ID3v2 tags, whose sizes are of 7 bits a byte.
std::uint64_t behind_id3(const ByteSource& bytes) {
  std::uint64_t at = 0;
  for (int tag = 0; tag < 8; ++tag) {
    const std::string header = bytes.text(at, 10);
    if (header.size() < 10 || !header.starts_with("ID3")) break;
    std::uint64_t size = 0;
    for (std::size_t n = 6; n < 10; ++n) size = size << 7 | (static_cast<unsigned char>(header[n]) & 0x7F);
    at += std::min(size, kMaxId3) + 10 + ((header[5] & 0x10) != 0 ? 10 : 0);
  }
  return at;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// What text is, if all of it is text.
std::string text_name(const std::string& head) {
  const bool is_text = std::all_of(head.begin(), head.end(), [](unsigned char c) {
    return c >= 0x20 || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0x1B;
  });
  if (!is_text) return "";
  const std::string start = lower(head.substr(0, 512));
  const std::size_t first = start.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  const std::string_view body = first == std::string::npos ? std::string_view{} : std::string_view(start).substr(first);
  if (body.starts_with("<!doctype html") || body.starts_with("<html") || body.find("<html") != std::string::npos ||
      body.find("<head>") != std::string::npos)
    return "a web page (HTML), perhaps what a server answered instead of the file";
  if (body.starts_with("<?xml") || body.starts_with("<error")) return "XML, perhaps a server's error message";
  if (body.starts_with("{") || body.starts_with("[")) return "JSON, perhaps a server's answer";
  std::string line = head.substr(0, std::min<std::size_t>(head.find_first_of("\r\n"), 40));
  return str("text (\"", line, "\")");
}

/// Both kinds of MPEG systems streams begin with packets of their own.
bool is_mpeg_system(const std::string& head) {
  constexpr std::size_t kPacket = 188;
  const bool transport =
      head.size() > 2 * kPacket && head[0] == 'G' && head[kPacket] == 'G' && head[2 * kPacket] == 'G';
  return transport || head.starts_with(std::string("\0\0\1\xBA", 4));
}

bool is_zero(const std::string& head) {
  return std::all_of(head.begin(), head.end(), [](char c) { return c == 0; });
}

/// True if chunks follow each other from `at` to the end, but for a little.
bool chunks_from(const ByteSource& bytes, std::uint64_t at) {
  for (int n = 0; n < kMaxChunks; ++n) {
    if (bytes.size() <= at + 8) return true;
    const std::string header = bytes.text(at, 8);
    const bool printable =
        std::all_of(header.begin(), header.begin() + 4, [](unsigned char c) { return c >= 0x20 && c < 0x7F; });
    if (!printable) return false;
    const std::uint64_t size = number(header, 4, 4, false);
    if (size > bytes.size() - at - 8 + kHeaderBytes) return false;
    at += 8 + size + size % 2;
  }
  return true;
}

SampleData find_wave_samples(const ByteSource& bytes) {
  SampleData data;
  const bool is_64 = bytes.text(0, 4) != "RIFF";
  std::uint64_t data_64 = 0;
  std::uint64_t at = 12;
  for (int n = 0; n < kMaxChunks; ++n) {
    const std::string header = bytes.text(at, 8);
    if (header.size() < 8) break;
    const std::string_view id = std::string_view(header).substr(0, 4);
    const std::uint64_t size = number(header, 4, 4, false);
    if (id == "ds64") {
      const std::string sizes = bytes.text(at + 8, 16);
      if (sizes.size() == 16) data_64 = number(sizes, 8, 8, false);
    } else if (id == "fmt ") {
      read_format(bytes.text(at + 8, kFormatBytes), data);
    } else if (id == "data") {
      data.found = true;
      data.begin = at + 8;
      data.size_at = at + 4;
      data.available = bytes.size() - data.begin;
      data.claimed = is_64 && size == 0xFFFFFFFF ? data_64 : size;
      const bool none = data.claimed == 0 && data.available > 0 && !chunks_from(bytes, data.begin);
      data.placeholder = none || (data.claimed > data.available && is_placeholder(data.claimed)) ||
                         (data.claimed == 0xFFFFFFFF && !is_64);
      const std::uint64_t end = data.begin + data.claimed + data.claimed % 2;
      if (!data.placeholder && end < bytes.size() && !chunks_from(bytes, end)) data.unread = bytes.size() - end;
      if (data.claimed > 0 || none) break;
    }
    at += 8 + size + size % 2;
  }
  return data;
}

SampleData find_aiff_samples(const ByteSource& bytes) {
  SampleData data;
  std::uint64_t at = 12;
  for (int n = 0; n < kMaxChunks; ++n) {
    const std::string header = bytes.text(at, 8);
    if (header.size() < 8) break;
    const std::uint64_t size = number(header, 4, 4, true);
    if (header.starts_with("SSND")) {
      data.found = true;
      data.begin = std::min(at + 16, bytes.size());
      data.available = bytes.size() - data.begin;
      data.claimed = size < 8 ? 0 : size - 8;
      data.placeholder = data.claimed > data.available && is_placeholder(size);
      break;
    }
    at += 8 + size + size % 2;
  }
  return data;
}

SampleData find_au_samples(const ByteSource& bytes) {
  SampleData data;
  const std::string header = bytes.text(0, 24);
  if (header.size() < 24) return data;
  data.begin = number(header, 4, 4, true);
  data.claimed = number(header, 8, 4, true);
  data.found = data.begin <= bytes.size();
  data.available = data.found ? bytes.size() - data.begin : 0;
  data.placeholder = is_placeholder(data.claimed) || data.claimed == 0;
  return data;
}

SampleData find_caf_samples(const ByteSource& bytes) {
  SampleData data;
  std::uint64_t at = 8;
  for (int n = 0; n < kMaxChunks; ++n) {
    const std::string header = bytes.text(at, 12);
    if (header.size() < 12) break;
    const std::uint64_t size = number(header, 4, 8, true);
    if (header.starts_with("data")) {
      data.found = true;
      data.begin = std::min(at + 16, bytes.size());  // behind an edit count
      data.available = bytes.size() - data.begin;
      data.placeholder = size > std::uint64_t{1} << 62;  // −1: to the end
      data.claimed = size < 4 ? 0 : size - 4;
      break;
    }
    if (size > bytes.size()) break;
    at += 12 + size;
  }
  return data;
}

SampleData find_wave64_samples(const ByteSource& bytes) {
  SampleData data;
  std::uint64_t at = 40;  // RIFF's GUID, size, WAVE's GUID
  for (int n = 0; n < kMaxChunks; ++n) {
    const std::string header = bytes.text(at, 24);
    if (header.size() < 24) break;
    const std::uint64_t size = number(header, 16, 8, false);  // with this header
    if (header.starts_with("fmt ")) read_format(bytes.text(at + 24, kFormatBytes), data);
    if (header.starts_with("data")) {
      data.found = true;
      data.begin = at + 24;
      data.available = bytes.size() - data.begin;
      data.claimed = size < 24 ? 0 : size - 24;
      data.placeholder = size >= std::uint64_t{1} << 62 || size == 0;
      break;
    }
    if (size < 24 || size > bytes.size()) break;
    at += (size + 7) / 8 * 8;
  }
  return data;
}

}  // namespace

bool is_placeholder(std::uint64_t size) { return (size >= 0x7F000000 && size <= 0x8000FFFF) || size >= 0xFFFF0000; }

void read_format(const std::string& format, SampleData& data) {
  if (format.size() < 16) return;
  data.format_tag = static_cast<std::uint16_t>(number(format, 0, 2, false));
  data.channels = static_cast<std::uint16_t>(number(format, 2, 2, false));
  data.sample_rate = static_cast<std::uint32_t>(number(format, 4, 4, false));
  data.bits = static_cast<std::uint16_t>(number(format, 14, 2, false));
  constexpr std::uint16_t kExtensible = 0xFFFE;  // its real tag begins a GUID
  if (data.format_tag == kExtensible && format.size() == kFormatBytes)
    data.format_tag = static_cast<std::uint16_t>(number(format, 24, 2, false));
}

FirstBytes look_at(const ByteSource& bytes) {
  std::string head = bytes.text(0, 512);
  const bool tagged = head.starts_with("ID3");
  if (tagged) head = bytes.text(behind_id3(bytes), 512);
  if (head.size() >= 12) {
    const std::string kind = head.substr(0, 4), form = head.substr(8, 4);
    if ((kind == "RIFF" || kind == "RF64" || kind == "BW64") && form == "WAVE") return {Container::kWave, "WAV"};
    if (kind == "RIFF") return {Container::kMedia, str("RIFF ", form)};
  }
  for (const Magic& magic : kMagics) {
    if (head.size() > magic.at && std::string_view(head).substr(magic.at).starts_with(magic.bytes))
      return {magic.container, magic.name};
  }
  if (head.size() >= 2 && static_cast<unsigned char>(head[0]) == 0xFF) {
    const auto second = static_cast<unsigned char>(head[1]);
    if ((second & 0xF6) == 0xF0) return {Container::kMedia, "AAC (ADTS)"};
    if ((second & 0xE0) == 0xE0 && (second & 0x06) != 0 && (second & 0x18) != 0x08)
      return {Container::kMpeg, "MPEG audio"};
  }
  if (tagged) return {Container::kMpeg, "an ID3 tag"};
  if (is_mpeg_system(head)) return {Container::kMedia, "an MPEG stream"};
  if (is_zero(head) && is_zero(bytes.text(0, kZeros)))
    return {Container::kNoAudio, "zeros, perhaps of a download that was only allocated"};
  if (const std::string text = text_name(head); !text.empty()) return {Container::kNoAudio, text};
  return {};
}

double SampleData::share() const {
  if (!found || placeholder || claimed <= available + kHeaderBytes || claimed == 0) return 1;
  return static_cast<double>(available) / static_cast<double>(claimed);
}

SampleData find_samples(const ByteSource& bytes, Container container) {
  switch (container) {
    case Container::kWave:
      return find_wave_samples(bytes);
    case Container::kWave64:
      return find_wave64_samples(bytes);
    case Container::kAiff:
      return find_aiff_samples(bytes);
    case Container::kAu:
      return find_au_samples(bytes);
    case Container::kCaf:
      return find_caf_samples(bytes);
    default:
      return {};
  }
}

}  // namespace axlstm::audio
