// Clips → normalised log-mel features → training crops.
#pragma once

#include <torch/types.h>

#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "axlstm/audio/log_mel.h"
#include "axlstm/data/manifest.h"

namespace axlstm::data {

/// Random access to the features of every clip; safe to use from many threads.
class Dataset {
 public:
  Dataset(Manifest manifest, const audio::LogMelOptions& log_mel, const DataOptions& options);

  std::int64_t size() const { return static_cast<std::int64_t>(manifest_.clips.size()); }
  std::int64_t mels() const { return log_mel_.options().mels; }
  const std::vector<std::string>& unmatched() const { return manifest_.unmatched; }
  const Clip& clip(std::int64_t index) const { return manifest_.clips.at(static_cast<std::size_t>(index)); }

  /// Log-mel [L', mels] float32 of the whole clip, normalised by its own mean and standard deviation; cached while
  /// data.cache_mb lasts. Throws Error naming the file if it cannot be used.
  torch::Tensor features(std::int64_t index);

  /// Counts a clip that could not be read, once, with a warning. Throws Error when more than data.max_bad_fraction are
  /// bad.
  void report_bad(std::int64_t index, const std::string& reason);
  std::int64_t bad_count() const;

 private:
  Manifest manifest_;
  audio::LogMel log_mel_;
  DataOptions options_;

  mutable std::mutex mutex_;
  std::unordered_map<std::int64_t, torch::Tensor> cache_;
  std::size_t cached_bytes_ = 0;
  std::set<std::int64_t> bad_;
};

/// `frames` consecutive frames of features [L', mels], from a start uniform in [0, L' − frames] drawn from `seed`.
/// A clip shorter than that is tiled along time first. [frames, mels]
torch::Tensor random_crop(const torch::Tensor& features, std::int64_t frames, std::uint64_t seed);

/// Mono samples of `clip` at `sample_rate`.
torch::Tensor load_waveform(const Clip& clip, std::int64_t sample_rate);

}  // namespace axlstm::data
