// Log-mel of sound whose end is not known yet.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "axlstm/audio/clip_reader.h"
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

/// The frames of a clip in pieces [L', mels], L' ≥ 1, in order, on `device`. Returns the number of its samples.
std::int64_t for_each_log_mel(audio::ClipReader& clip, const LogMel& log_mel, const torch::Device& device,
                              const std::function<void(const torch::Tensor&)>& take);

/// What must be known of a clip before its frames can be normalised.
struct ClipSurvey {
  int file_rate = 0;         ///< Hz
  std::int64_t samples = 0;  ///< at the rate of log-mel
  std::int64_t frames = 0;
  ClipStatistics statistics;
  std::string note;  ///< what of the file is missing
};

/// Reads a clip from beginning to end, in constant memory; the statistics are those of LogMel of the whole, to
/// rounding. Throws Error naming the clip if it cannot be used.
ClipSurvey survey(const audio::Recording& recording, const LogMel& log_mel, const torch::Device& device, ClipStd kind);

/// The frames [first, first + count) of a clip, which must be there, to rounding: [count, mels] on the CPU. Only the
/// sound around them is decoded, where the format can be searched.
torch::Tensor read_log_mel(const audio::Recording& recording, const ClipSurvey& survey, const LogMel& log_mel,
                           std::int64_t first, std::int64_t count);

}  // namespace axlstm::features
