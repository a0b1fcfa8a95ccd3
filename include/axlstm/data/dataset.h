// Clips → normalised log-mel features → training crops.
#pragma once

#include <torch/types.h>

#include <mutex>
#include <string>
#include <unordered_map>

#include "axlstm/data/clip_source.h"
#include "axlstm/data/lists/manifest.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::data {

/// Crops out of audio files, decoded when they are needed.
class Dataset final : public ClipSource {
 public:
  Dataset(Manifest manifest, const features::LogMelOptions& log_mel, const DataOptions& options);

  std::int64_t size() const override { return static_cast<std::int64_t>(manifest_.clips.size()); }
  std::string id(std::int64_t clip) const override { return manifest_.clips.id(static_cast<std::size_t>(clip)); }
  std::string labels(std::int64_t clip) const override {
    return manifest_.clips[static_cast<std::size_t>(clip)].labels;
  }
  std::vector<std::string> unmatched() const override { return manifest_.unmatched; }

  /// Log-mel [L', mels] float32 of the whole clip, normalised by its own mean and standard deviation; cached while
  /// data.cache_mb lasts. Throws Error naming the file if it cannot be used.
  torch::Tensor features(std::int64_t clip);

  CropBatch allocate(std::int64_t batch, std::int64_t frames, bool pinned) const override;
  void read_crop(std::int64_t clip, std::uint64_t seed, CropBatch& batch, std::int64_t row) override;
  torch::Tensor spectrogram(const CropBatch& batch, const torch::Device& device) override;

 private:
  Manifest manifest_;
  features::LogMel log_mel_;
  audio::DecodeOptions decoding_;
  std::int64_t cache_bytes_;

  std::mutex mutex_;
  std::unordered_map<std::int64_t, torch::Tensor> cache_;
  std::int64_t cached_bytes_ = 0;
};

/// `frames` consecutive frames of features [L', mels], from a start uniform in [0, L' − frames] drawn from `seed`.
/// A clip shorter than that is tiled along time first. [frames, mels]
torch::Tensor random_crop(const torch::Tensor& features, std::int64_t frames, std::uint64_t seed);

}  // namespace axlstm::data
