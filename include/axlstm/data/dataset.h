// Clips → normalised log-mel features → training crops.
#pragma once

#include <torch/types.h>

#include <future>
#include <mutex>
#include <string>
#include <unordered_map>

#include "axlstm/data/clip_source.h"
#include "axlstm/data/lists/manifest.h"
#include "axlstm/features/log_mel_stream.h"

namespace axlstm::data {

/// Crops out of audio files, decoded when they are needed: short clips whole; long ones once for their statistics, then
/// what a crop needs of them.
class Dataset final : public ClipSource {
 public:
  Dataset(Manifest manifest, const features::LogMelOptions& log_mel, const DataOptions& options,
          double long_seconds = audio::kLongSeconds);

  std::int64_t size() const override { return static_cast<std::int64_t>(manifest_.clips.size()); }
  std::string id(std::int64_t clip) const override { return manifest_.clips.id(static_cast<std::size_t>(clip)); }
  std::string labels(std::int64_t clip) const override {
    return manifest_.clips[static_cast<std::size_t>(clip)].labels;
  }
  std::vector<std::string> unmatched() const override { return manifest_.unmatched; }

  /// Log-mel [L', mels] float32 of the whole clip, normalised by its own mean and standard deviation; cached while
  /// data.cache_mb lasts. Undefined of a long clip for which there is no room. Throws Error naming the file if it
  /// cannot be used.
  torch::Tensor features(std::int64_t clip);

  CropBatch allocate(std::int64_t batch, std::int64_t frames, bool pinned) const override;
  std::int64_t frames(std::int64_t clip) override;
  void read(std::int64_t clip, const StartOf& start, CropBatch& batch, std::int64_t row) override;
  torch::Tensor spectrogram(const CropBatch& batch, const torch::Device& device) override;

 private:
  audio::Recording recording(std::int64_t clip) const;
  torch::Tensor cached(std::int64_t clip);  ///< undefined: it is not
  bool reserve(std::int64_t bytes);         ///< of the cache; false: there is no room
  std::shared_future<features::ClipSurvey> find_survey(std::int64_t clip);
  features::ClipSurvey survey(std::int64_t clip);
  features::ClipSurvey read_survey(std::int64_t clip);
  torch::Tensor crop(std::int64_t clip, std::int64_t frames, const StartOf& start);

  Manifest manifest_;
  features::LogMel log_mel_;
  audio::DecodeOptions decoding_;
  std::int64_t cache_bytes_;
  double long_seconds_;

  std::mutex mutex_;
  std::unordered_map<std::int64_t, torch::Tensor> cache_;
  std::int64_t cached_bytes_ = 0;
  std::unordered_map<std::int64_t, std::shared_future<features::ClipSurvey>> surveys_;  ///< of long clips
  std::unordered_map<std::int64_t, std::int64_t> frames_;                               ///< of clips asked for
};

/// `count` consecutive frames of features [L', mels] from start() on. A clip shorter than that is tiled along time.
/// [count, mels]
torch::Tensor crop_of(const torch::Tensor& features, std::int64_t count, const ClipSource::StartOf& start);

}  // namespace axlstm::data
