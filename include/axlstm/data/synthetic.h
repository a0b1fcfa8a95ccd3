// Noise in place of audio: what training can do when no data is waited for.
#pragma once

#include "axlstm/data/clip_source.h"
#include "axlstm/features/options.h"

namespace axlstm::data {

/// `clips` clips whose crops are cut out of one table of standard normal noise, which is what normalised log-mel looks
/// like to the arithmetic. A crop is a function of clip and seed, as with real clips.
class Synthetic final : public ClipSource {
 public:
  Synthetic(std::int64_t clips, const features::LogMelOptions& audio);

  std::int64_t size() const override { return clips_; }
  std::string id(std::int64_t clip) const override { return "noise-" + std::to_string(clip); }
  std::string labels(std::int64_t) const override { return {}; }
  CropBatch allocate(std::int64_t batch, std::int64_t frames, bool pinned) const override;
  void read_crop(std::int64_t clip, std::uint64_t seed, CropBatch& batch, std::int64_t row) override;
  torch::Tensor spectrogram(const CropBatch& batch, const torch::Device& device) override;

 private:
  std::int64_t clips_, mels_;
  torch::Tensor table_;  ///< [values] float32
};

}  // namespace axlstm::data
