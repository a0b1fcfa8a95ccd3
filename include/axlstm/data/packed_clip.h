// Whole clips out of packed shards, one after the other.
#pragma once

#include <torch/types.h>

#include "axlstm/audio/decode.h"
#include "axlstm/data/shards/packed.h"
#include "axlstm/features/options.h"

namespace axlstm::data {

/// Where a clip and its shard are named in messages.
std::string place_of(const ShardView& clip);

/// A clip of a pcm16 shard as what decodes to its samples: those of the file that was packed, to rounding.
audio::Recording recording_of(const ShardView& clip, const PackedInfo& info);

/// Standard deviation of a clip's log-mel of `frames` frames, estimated as `audio` says.
double deviation_of(const ShardView& clip, std::int64_t frames, const features::LogMelOptions& audio);

/// By what the log-mel of logmel16 shards is divided, which is normalised by the unbiased deviation, to be normalised
/// as `audio` says: 1, or nearly so.
double log_mel_divisor(const ShardView& clip, const features::LogMelOptions& audio);

/// Reads the log-mel of a clip of a logmel16 shard from its first frame on. Used by one thread.
class PackedLogMel {
 public:
  /// The clip's reader must outlive it.
  PackedLogMel(const ShardView& clip, const features::LogMelOptions& audio);

  /// Up to `count` frames, fewer only at the end: [L, mels] float32 on the CPU, normalised as `audio` says. Throws
  /// Error naming shard and clip if it cannot be read or, behind the last frame, if it does not match its checksum.
  torch::Tensor read(std::int64_t count);

  std::int64_t left() const { return static_cast<std::int64_t>(clip_.length) - next_; }

 private:
  ShardView clip_;
  std::int64_t mels_;
  double divisor_;
  std::int64_t next_ = 0;
  std::uint64_t checksum_ = kFnv1a64Start;
};

}  // namespace axlstm::data
