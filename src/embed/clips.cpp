#include "clips.h"

#include <torch/torch.h>

#include <algorithm>

#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::embed {

std::size_t decoding_threads(const ClipEncoder& encoder, const ExtractionOptions& options) {
  return static_cast<std::size_t>(std::max(1, encoder.decoding_threads() / options.side_by_side));
}

void say_what_is_missing(const std::string& place, const std::string& note) {
  if (!note.empty()) log::warn(str("taken in part: ", place, ": ", note));
}

std::optional<ReadClip> RecordedClips::read(std::size_t clip) const {
  auto whole = audio::decode_unless_long(recording(clip), long_seconds_);
  if (!whole) return std::nullopt;
  ReadClip read;
  read.note = std::move(whole->note);
  auto wave = audio::resample(std::move(*whole), encoder_.sample_rate());
  read.seconds = wave.seconds();
  read.data = features::as_tensor(std::move(wave));
  return read;
}

}  // namespace axlstm::embed
