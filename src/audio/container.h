// What the first bytes of a file are, and what PCM containers say of their length.
#pragma once

#include <cstdint>
#include <string>

#include "byte_source.h"

namespace axlstm::audio {

enum class Container {
  kWave,    ///< RIFF/WAVE, RF64, BW64
  kWave64,  ///< Sony's W64
  kAiff,    ///< AIFF, AIFF-C
  kAu,
  kCaf,
  kFlac,  ///< perhaps behind an ID3 tag
  kOgg,
  kMpeg,     ///< MPEG audio, perhaps behind an ID3 tag
  kMedia,    ///< what FFmpeg's libraries decode: MP4, Matroska, ADTS …
  kNoAudio,  ///< text, a web page, a picture, an archive …
  kUnknown,
};

struct FirstBytes {
  Container container = Container::kUnknown;
  std::string name;  ///< for messages: "a web page (HTML)", "MP4 or QuickTime"
};

FirstBytes look_at(const ByteSource& bytes);

/// Where a container of plain samples keeps them, and how many bytes its header promises.
struct SampleData {
  std::uint64_t begin = 0;      ///< of the samples, in the file
  std::uint64_t claimed = 0;    ///< bytes, as the header says
  std::uint64_t available = 0;  ///< bytes from `begin` to the end of the file
  std::uint64_t size_at = 0;    ///< RIFF: where the 32-bit size stands
  std::uint64_t unread = 0;     ///< WAV: bytes behind the samples that are no chunks
  bool placeholder = false;     ///< the size is none: a pipe, or a recorder that was stopped
  bool found = false;
  // WAV's format chunk.
  std::uint16_t format_tag = 0, channels = 0, bits = 0;
  std::uint32_t sample_rate = 0;

  /// Share of the promised bytes that is there, at most 1.
  double share() const;
};

/// Sizes that writers put where they cannot know any: near 2^31 (SoX: 0x7F000000) and near 2^32.
bool is_placeholder(std::uint64_t size);

/// What the content of WAV's format chunk says, of which the first 26 bytes matter.
void read_format(const std::string& format, SampleData& data);

/// Of a file that look_at() takes for kWave, kWave64, kAiff, kAu or kCaf.
SampleData find_samples(const ByteSource& bytes, Container container);

}  // namespace axlstm::audio
