// Clips → a folder of shards (packed.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>

#include "axlstm/audio/decode.h"
#include "axlstm/data/lists/clip_stream.h"
#include "axlstm/data/options.h"
#include "axlstm/features/options.h"

namespace axlstm::data {

struct PackOptions {
  std::filesystem::path output;
  Encoding encoding = Encoding::kPcm16;
  features::LogMelOptions audio;
  std::int64_t workers = 1;                   ///< threads that decode
  std::int64_t memory_mb = 2048;              ///< of the clips under way, as their files' sizes let expect
  double min_decoded_fraction = 0.9;          ///< data.min_decoded_fraction
  std::int64_t shard_mb = 1024;               ///< a shard ends with the clip that fills it
  double long_seconds = audio::kLongSeconds;  ///< clips that last longer are packed in constant memory
};

struct PackReport {
  std::int64_t clips = 0, broken = 0, partial = 0;
  bool finished = false;  ///< false: `stop` turned true; the same call goes on
};

/// Decodes, resamples and packs every clip of `stream`, leaving out and listing those that cannot be used, and listing
/// those of which something is missing. 16-bit samples are scaled by each clip's own peak, unless they were 16-bit
/// numbers before: neither loud nor quiet clips lose anything. Goes on after the last whole shard in the folder. The
/// shards' bytes depend on the clips and options alone, not on `workers` or on interruptions. Throws Error if nothing
/// can be used or a shard cannot be written, UsageError if the folder holds clips packed from another list or in
/// another way.
PackReport pack(ClipStream& stream, const PackOptions& options, const std::atomic<bool>& stop);

}  // namespace axlstm::data
