// Log-mel of sound whose end is not known yet.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "axlstm/features/log_mel.h"

namespace axlstm::features {

/// Gives the frames that LogMel makes of the whole waveform, each as soon as its samples are there; reflected at both
/// ends in the same way. Keeps about as many samples as a frame has. Used by one thread.
class LogMelStream {
 public:
  /// Computes on `device`. `log_mel` must outlive this.
  LogMelStream(const LogMel& log_mel, torch::Device device);

  /// The frames [L', mels] that are complete with `samples`; often none (L' = 0).
  torch::Tensor push(std::span<const float> samples);

  /// The frames at the end of the waveform. Without a sample there are none.
  torch::Tensor finish();

  std::int64_t samples() const { return samples_; }  ///< so far

 private:
  torch::Tensor complete_frames();

  const LogMel& log_mel_;
  torch::Device device_;
  std::int64_t pad_;
  std::int64_t samples_ = 0;
  std::int64_t next_ = 0;   ///< where the next frame begins in kept_
  bool reflected_ = false;  ///< kept_ begins with what reflection puts before the waveform, or behind that
  std::vector<float> kept_;
};

}  // namespace axlstm::features
