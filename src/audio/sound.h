// A clip being decoded, with the checks of what it holds.
#pragma once

#include <memory>
#include <string>

#include "axlstm/audio/decode.h"
#include "open_decoder.h"

namespace axlstm::audio {

/// Used by one thread. Every Error names the file.
class Sound {
 public:
  /// Opens the clip and goes to its segment.
  explicit Sound(const Recording& recording);

  int sample_rate() const { return rate_; }

  /// Frames of the clip as far as the file tells before it is decoded; negative if it does not.
  std::int64_t likely_frames() const;

  std::uint64_t file_bytes() const { return bytes_->size(); }

  /// Decodes up to `count` frames, channels averaged; fewer only at the end, where it is checked how much is missing.
  std::int64_t read(float* target, std::int64_t count);

  /// What of the file is missing in the clip, and why; complete after the last frame.
  const std::string& note() const { return note_; }

 private:
  std::int64_t to_frames(double seconds) const;
  void go_to_segment();
  void check(const float* samples, std::int64_t frames) const;
  void finish();

  Segment segment_;
  DecodeOptions options_;
  std::string name_;
  std::unique_ptr<ByteSource> bytes_;
  Opened opened_;
  int rate_ = 0;  ///< as the file begins: damaged MPEG audio may tell another one later
  std::int64_t skipped_ = 0, wanted_ = 0, got_ = 0;  ///< frames
  bool ended_ = false;
  std::string note_;
};

}  // namespace axlstm::audio
