// Audio files → mono samples. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace axlstm::audio {

struct Waveform {
  std::vector<float> samples;  ///< mono, −1 … 1
  int sample_rate = 0;         ///< Hz
  std::string note = {};       ///< what of the file is missing here, and why, without its name; empty: nothing is

  double seconds() const { return static_cast<double>(samples.size()) / sample_rate; }
};

/// A part of a file, in seconds; the default is all of it.
struct Segment {
  double start_seconds = 0.0;
  double duration_seconds = -1.0;  ///< negative: to the end
};

struct DecodeOptions {
  /// A file of which less than this share of what it promises can be decoded is an error; with more it is taken, and
  /// the waveform says so in its note.
  double min_decoded_fraction = 0.9;
};

/// Samples without a header: 16-bit little-endian numbers at a place in a file, as shards of packed audio hold them.
struct Pcm16 {
  std::string clip;            ///< its name in errors, behind the file's
  int sample_rate = 0;         ///< Hz
  double scale = 0;            ///< of one step of the numbers
  std::uint64_t offset = 0;    ///< bytes before the first
  std::uint64_t samples = 0;   ///< how many there are
  std::uint64_t checksum = 0;  ///< FNV-1a of their bytes; a clip that is read to its end is compared with it
};

/// A clip: where its sound is, and which part of it.
struct Recording {
  std::filesystem::path path;                  ///< of the file; beside `bytes` only its name in errors
  std::optional<std::string_view> bytes = {};  ///< of the file, where they are in memory; they must outlive its use
  Segment segment = {};
  DecodeOptions decoding = {};
  std::optional<Pcm16> pcm16 = {};  ///< for what is no audio file, but holds samples
};

/// What lasts longer is read block by block (clip_reader.h) instead of being held in memory (docs/data.md).
inline constexpr double kLongSeconds = 600;

/// Decodes WAV, AIFF, AU, CAF, FLAC, Ogg (Vorbis, Opus) by libsndfile, MPEG audio by libmpg123 and, where the build has
/// FFmpeg's libraries, MP4, WebM, AAC and the like; what a file is its first bytes say, not its name. Channels are
/// averaged. docs/data.md tells how each length is known. Throws Error naming the file for: missing, unreadable, empty,
/// no audio, truncated, or samples that are not finite.
Waveform decode(const Recording& recording);

/// The same, but nothing of a clip that promises to last longer than `long_seconds` or is found to.
std::optional<Waveform> decode_unless_long(const Recording& recording, double long_seconds);

Waveform decode_file(const std::filesystem::path& path, const Segment& segment = {}, const DecodeOptions& options = {});

/// The same from memory; `name` stands for the file in errors.
Waveform decode_memory(std::string_view bytes, const std::string& name, const Segment& segment = {},
                       const DecodeOptions& options = {});

/// Versions of the libraries that decode, for bug reports.
std::string decoder_version();

}  // namespace axlstm::audio
