// Crops out of packed shards.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>

#include "axlstm/data/clip_source.h"
#include "axlstm/data/shards/packed.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::data {

/// From shards of samples a worker copies a crop's samples and n_fft / 2 more on each side (reflected at the clip's own
/// ends), and log-mel is computed on the model's device, a batch at a time: the frames are those of the whole clip's
/// spectrogram. From shards of log-mel it copies the frames. Numbers equal those of the files, to rounding: of float32
/// from samples, of float16 (2^-11) from log-mel.
class PackedDataset final : public ClipSource {
 public:
  /// Throws Error if the folder is not whole, UsageError if it was packed with another front end than `audio`.
  PackedDataset(const std::filesystem::path& folder, const features::LogMelOptions& audio, double max_bad_fraction);

  std::int64_t size() const override { return set_.size(); }
  std::string id(std::int64_t clip) const override { return std::string(set_.clip(clip).id); }
  std::string labels(std::int64_t clip) const override { return std::string(set_.clip(clip).labels); }
  CropBatch allocate(std::int64_t batch, std::int64_t frames, bool pinned) const override;
  std::int64_t frames(std::int64_t clip) override { return set_.frames(set_.clip(clip)); }
  void read(std::int64_t clip, const StartOf& start, CropBatch& batch, std::int64_t row) override;
  torch::Tensor spectrogram(const CropBatch& batch, const torch::Device& device) override;

 private:
  bool holds_samples() const { return set_.info().encoding == Encoding::kPcm16; }

  PackedSet set_;
  features::LogMel log_mel_;
};

}  // namespace axlstm::data
