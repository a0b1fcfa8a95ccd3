// Clips that are too long to be held in memory, block by block from their beginning. Free of LibTorch.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "axlstm/audio/decode.h"

namespace axlstm::audio {

/// Gives the samples of resample(decode(recording), sample_rate), in blocks of some seconds. How they are divided
/// depends on the clip alone. Used by one thread; errors are those of decode(), each when its place is reached.
class ClipReader {
 public:
  ClipReader(const Recording& recording, int sample_rate);
  ~ClipReader();
  ClipReader(const ClipReader&) = delete;
  ClipReader& operator=(const ClipReader&) = delete;

  /// The samples that come next, at least one; none at the end. They are valid until the next call.
  std::span<const float> read();

  int file_rate() const;            ///< Hz, before it is resampled
  const std::string& note() const;  ///< what of the file is missing; complete after the last sample

 private:
  struct Parts;

  std::unique_ptr<Parts> parts_;
};

/// The samples [first, first + count) that a ClipReader of `recording` gives at `sample_rate`, to rounding; fewer at
/// the end. Only what is around them is decoded, where the format can be searched. `file_rate`: ClipReader's.
std::vector<float> read_part(const Recording& recording, int file_rate, int sample_rate, std::int64_t first,
                             std::int64_t count);

}  // namespace axlstm::audio
