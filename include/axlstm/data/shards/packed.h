// A folder of packed clips, as `pack` writes it: random access to millions of clips without decoding. Free of LibTorch.
//
// The folder holds shard-00000.axs, shard-00001.axs, … (shard.h), broken.jsonl with a line for each clip that could not
// be used, partial.jsonl with one for each of which something is missing, and, once all are written, pack.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "axlstm/data/options.h"
#include "axlstm/data/shards/shard.h"
#include "axlstm/features/options.h"

namespace axlstm::data {

/// How a folder was packed; clip_std of `audio` does not matter.
struct PackedInfo {
  Encoding encoding = Encoding::kPcm16;
  features::LogMelOptions audio;   ///< what mean and standard deviation (and log-mel) were computed with
  std::string source;              ///< where the clips came from, for people
  std::string source_fingerprint;  ///< of the list of clips
  std::int64_t broken = 0;         ///< clips that could not be used
  std::int64_t partial = 0;        ///< clips of which something is missing
};

class PackedSet {
 public:
  /// Opens all shards and verifies their indices. Throws Error naming the folder or file if packing is not finished or
  /// something is missing or damaged. With `damaged`, shards that cannot be used are left out, and why is said there.
  explicit PackedSet(const std::filesystem::path& folder, std::vector<std::string>* damaged = nullptr);

  const PackedInfo& info() const { return info_; }
  std::int64_t size() const { return first_clip_.back(); }
  ShardView clip(std::int64_t index) const;

  const std::vector<ShardReader>& shards() const { return shards_; }

  /// Frames of a clip's log-mel spectrogram.
  std::int64_t frames(const ShardView& clip) const;

  /// Seconds of audio of all clips.
  double seconds() const;

 private:
  ShardReader open_shard(const std::filesystem::path& path, std::uint64_t checksum) const;

  PackedInfo info_;
  std::vector<ShardReader> shards_;
  std::vector<std::int64_t> first_clip_;  ///< of each shard, and the number of all clips
};

/// Throws UsageError naming the key of `wanted` (audio.…) in which `info` differs. `fix` says what can be done where
/// `wanted` cannot be changed.
void check_front_end(const PackedInfo& info, const features::LogMelOptions& wanted, const std::string& folder,
                     const std::string& fix = {});

/// Compares every clip's data with its checksum, by `threads` threads. Returns the ids of damaged or unreadable clips.
/// `progress` is told how many are done.
std::vector<std::string> verify(const PackedSet& set, std::size_t threads,
                                const std::function<void(std::int64_t)>& progress = {});

/// What `pack --info` prints.
std::string describe(const PackedSet& set);

}  // namespace axlstm::data
