// A clip as it is packed (private to data/).
#pragma once

#include <string>

#include "axlstm/data/lists/clip_stream.h"
#include "axlstm/data/packer.h"
#include "axlstm/data/shards/shard.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::data {

/// A clip ready for its shard, or why it is not.
struct EncodedClip {
  ShardClip clip;
  double seconds = 0;
  std::string note;  ///< what of it is missing
  std::string failure;
};

/// Decodes, resamples and encodes a clip; one that is long in constant memory, into a spool in the folder that is
/// packed into. What is wrong with the clip is its failure. Throws SpoolError if the spool fails.
EncodedClip encode_clip(const StreamedClip& item, const features::LogMel& log_mel, const PackOptions& options);

}  // namespace axlstm::data
