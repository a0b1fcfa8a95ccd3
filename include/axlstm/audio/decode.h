// Audio files → mono samples. Free of LibTorch.
#pragma once

#include <filesystem>
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

/// Decodes WAV, FLAC, Ogg (Vorbis, Opus), MP3 and whatever else libsndfile reads; channels are averaged.
/// Throws Error naming the file for: missing, unreadable, empty, truncated, or samples that are not finite.
Waveform decode_file(const std::filesystem::path& path, const Segment& segment = {});

/// The same from memory; `name` stands for the file in errors.
Waveform decode_memory(std::string_view bytes, const std::string& name, const Segment& segment = {});

/// libsndfile's version, for bug reports.
std::string decoder_version();

}  // namespace axlstm::audio
