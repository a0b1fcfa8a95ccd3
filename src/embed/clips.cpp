#include "clips.h"

#include <torch/torch.h>

#include "axlstm/audio/resample.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::embed {

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
