#include "axlstm/audio/decode.h"

#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>

#include "axlstm/core/error.h"

namespace axlstm::audio {
namespace {

using File = std::unique_ptr<SNDFILE, decltype(&sf_close)>;

constexpr int kMaxChannels = 256;
constexpr int kMinSampleRate = 100;  // Hz; a damaged header's 1 Hz would grow without bound when resampled
constexpr sf_count_t kBlockFrames = 1 << 16;
// Beyond the first number of samples a file must not hold more than the second for each of its bytes. An encoder's
// hours of silence have some 400; a crafted file of a megabyte could fill the memory of any machine.
constexpr std::size_t kSamplesOfAnyFile = std::size_t{1} << 26;
constexpr std::size_t kMaxSamplesPerByte = 1000;
constexpr std::uint64_t kReservedSamplesPerByte = 8;

/// Samples are read in blocks, so that memory follows what the file of `file_bytes` holds, not what its header claims.
Waveform read_all(const File& file, const SF_INFO& info, std::uint64_t file_bytes, const std::string& name,
                  const Segment& segment) {
  AXLSTM_CHECK(info.samplerate >= kMinSampleRate && info.channels > 0 && info.channels <= kMaxChannels, name,
               ": claims ", info.channels, " channels at ", info.samplerate, " Hz");
  AXLSTM_CHECK(info.frames > 0, name, ": holds no audio");
  const auto to_frames = [&](double seconds) {
    return static_cast<sf_count_t>(std::llround(std::clamp(seconds * info.samplerate, -1e18, 1e18)));
  };
  const sf_count_t start = to_frames(segment.start_seconds);
  AXLSTM_CHECK(start >= 0 && start < info.frames, name, ": the segment starts at ", segment.start_seconds,
               " s, the file lasts ", static_cast<double>(info.frames) / info.samplerate, " s");
  const bool to_end = segment.duration_seconds < 0;
  const sf_count_t wanted =
      to_end ? info.frames - start : std::min(to_frames(segment.duration_seconds), info.frames - start);
  AXLSTM_CHECK(wanted > 0, name, ": the segment of ", segment.duration_seconds, " s is empty");
  if (start > 0) {
    AXLSTM_CHECK(sf_seek(file.get(), start, SEEK_SET) == start, name, ": cannot seek to ", segment.start_seconds, " s");
  }

  Waveform wave;
  wave.sample_rate = info.samplerate;
  // Grown step by step, a long waveform would be there twice. (What is not written takes no memory.)
  wave.samples.reserve(static_cast<std::size_t>(
      std::min<std::uint64_t>(static_cast<std::uint64_t>(wanted), kReservedSamplesPerByte * file_bytes)));
  std::vector<float> block(static_cast<std::size_t>(std::min(wanted, kBlockFrames)) * info.channels);
  sf_count_t got = 0;
  while (got < wanted) {
    const sf_count_t frames = sf_readf_float(file.get(), block.data(), std::min(wanted - got, kBlockFrames));
    if (frames <= 0) break;
    for (sf_count_t frame = 0; frame < frames; ++frame) {
      float sum = 0;
      for (int channel = 0; channel < info.channels; ++channel) sum += block[frame * info.channels + channel];
      wave.samples.push_back(sum / static_cast<float>(info.channels));
    }
    got += frames;
    AXLSTM_CHECK(wave.samples.size() <= std::max(kSamplesOfAnyFile, kMaxSamplesPerByte * file_bytes), name,
                 ": more than ", kMaxSamplesPerByte, " samples a byte, no encoder of audio writes such a file");
  }
  // A FLAC written to a pipe does not tell its length: it lasts as long as it can be read.
  const bool unknown_length = info.frames == SF_COUNT_MAX && got > 0;
  AXLSTM_CHECK(got == wanted || unknown_length, name, ": truncated, ", got, " of ", wanted, " frames could be read");
  AXLSTM_CHECK(std::all_of(wave.samples.begin(), wave.samples.end(), [](float x) { return std::isfinite(x); }), name,
               ": holds samples that are not finite numbers");
  return wave;
}

/// Bytes that a WAV file's data chunk claims beyond the end of the file; libsndfile passes over them in silence. 0 for
/// other formats, and where the writer could not know the size (a stream). `read(offset, target, count)` returns false
/// beyond the end.
template <typename Read>
std::uint64_t missing_wav_bytes(std::uint64_t file_size, const Read& read) {
  struct {
    char id[4];
    std::uint32_t size;  // little-endian
  } chunk{};
  static_assert(sizeof chunk == 8);
  char riff[12];
  if (!read(0, riff, sizeof riff) || std::memcmp(riff, "RIFF", 4) != 0 || std::memcmp(riff + 8, "WAVE", 4) != 0)
    return 0;
  for (std::uint64_t at = sizeof riff; read(at, &chunk, sizeof chunk);
       at += sizeof chunk + chunk.size + chunk.size % 2) {
    if (std::memcmp(chunk.id, "data", 4) != 0) continue;
    constexpr std::uint32_t kUnknown[] = {0, 0x7FFFF000};  // also all numbers near 2^32
    const bool stream = std::find(std::begin(kUnknown), std::end(kUnknown), chunk.size) != std::end(kUnknown) ||
                        chunk.size >= 0xFFFFFF00;
    const std::uint64_t available = file_size - at - sizeof chunk;
    return stream || chunk.size <= available ? 0 : chunk.size - available;
  }
  return 0;
}

struct MemoryStream {
  std::string_view bytes;
  sf_count_t position = 0;
};

SF_VIRTUAL_IO memory_io() {
  SF_VIRTUAL_IO io{};
  io.get_filelen = [](void* user) { return static_cast<sf_count_t>(static_cast<MemoryStream*>(user)->bytes.size()); };
  io.seek = [](sf_count_t offset, int whence, void* user) {
    auto& stream = *static_cast<MemoryStream*>(user);
    const auto size = static_cast<sf_count_t>(stream.bytes.size());
    const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? stream.position : size;
    return stream.position = std::clamp<sf_count_t>(base + offset, 0, size);
  };
  io.read = [](void* target, sf_count_t count, void* user) {
    auto& stream = *static_cast<MemoryStream*>(user);
    const sf_count_t left = static_cast<sf_count_t>(stream.bytes.size()) - stream.position;
    const sf_count_t taken = std::clamp<sf_count_t>(count, 0, left);
    if (taken > 0) std::memcpy(target, stream.bytes.data() + stream.position, static_cast<std::size_t>(taken));
    stream.position += taken;
    return taken;
  };
  io.write = [](const void*, sf_count_t, void*) { return sf_count_t{0}; };
  io.tell = [](void* user) { return static_cast<MemoryStream*>(user)->position; };
  return io;
}

}  // namespace

Waveform decode_file(const std::filesystem::path& path, const Segment& segment) {
  const std::string name = path.string();
  std::error_code failure;
  AXLSTM_CHECK(std::filesystem::exists(path, failure), name, ": no such file");
  AXLSTM_CHECK(std::filesystem::is_regular_file(path, failure), name, ": is not a file");
  AXLSTM_CHECK(std::filesystem::file_size(path, failure) > 0, name, ": is empty (0 bytes)");
  std::ifstream bytes(path, std::ios::binary);
  const auto missing = missing_wav_bytes(
      std::filesystem::file_size(path, failure), [&](std::uint64_t at, void* target, std::size_t count) {
        return static_cast<bool>(bytes.seekg(static_cast<std::streamoff>(at))
                                     .read(static_cast<char*>(target), static_cast<std::streamsize>(count)));
      });
  AXLSTM_CHECK(missing == 0, name, ": truncated, ", missing, " bytes of audio are missing");
  SF_INFO info{};
  const File file(sf_open(path.c_str(), SFM_READ, &info), &sf_close);
  AXLSTM_CHECK(file, name, ": not audio that libsndfile can read (", sf_strerror(nullptr), ")");
  return read_all(file, info, std::filesystem::file_size(path, failure), name, segment);
}

Waveform decode_memory(std::string_view bytes, const std::string& name, const Segment& segment) {
  AXLSTM_CHECK(!bytes.empty(), name, ": is empty (0 bytes)");
  const auto missing = missing_wav_bytes(bytes.size(), [&](std::uint64_t at, void* target, std::size_t count) {
    if (at > bytes.size() || count > bytes.size() - at) return false;
    std::memcpy(target, bytes.data() + at, count);
    return true;
  });
  AXLSTM_CHECK(missing == 0, name, ": truncated, ", missing, " bytes of audio are missing");
  SF_VIRTUAL_IO io = memory_io();
  MemoryStream stream{bytes};
  SF_INFO info{};
  const File file(sf_open_virtual(&io, SFM_READ, &info, &stream), &sf_close);
  AXLSTM_CHECK(file, name, ": not audio that libsndfile can read (", sf_strerror(nullptr), ")");
  return read_all(file, info, bytes.size(), name, segment);
}

std::string decoder_version() { return sf_version_string(); }

}  // namespace axlstm::audio
