// Noise in place of audio: what training can do when no data is waited for.
#pragma once

#include "axlstm/data/clip_source.h"
#include "axlstm/features/options.h"

namespace axlstm::data {

/// `clips` clips whose crops are cut out of one table of standard normal noise, which is what normalised log-mel looks
/// like to the arithmetic. A crop is a function of clip and start, as with real clips. There are ten labels.
class Synthetic final : public ClipSource {
 public:
  Synthetic(std::int64_t clips, const features::LogMelOptions& audio);

  std::int64_t size() const override { return clips_; }
  std::string id(std::int64_t clip) const override { return "noise-" + std::to_string(clip); }
  std::string labels(std::int64_t clip) const override { return "noise-" + std::to_string(clip % kClasses); }
  CropBatch allocate(std::int64_t batch, std::int64_t frames, bool pinned) const override;
  std::int64_t frames(std::int64_t) override { return kFrames; }
  void read(std::int64_t clip, const StartOf& start, CropBatch& batch, std::int64_t row) override;
  torch::Tensor spectrogram(const CropBatch& batch, const torch::Device& device) override;

 private:
  static constexpr std::int64_t kClasses = 10;
  static constexpr std::int64_t kFrames = 1000;  ///< of every clip

  std::int64_t clips_, mels_;
  torch::Tensor table_;  ///< [values] float32
};

}  // namespace axlstm::data
