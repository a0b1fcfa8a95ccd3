// Mean and deviation of log-mel that comes piece by piece.
#pragma once

#include <torch/types.h>

#include "axlstm/features/log_mel.h"

namespace axlstm::features {

/// Welford's recurrence over pieces, in float64: after the last piece the statistics of the whole, in constant memory.
class RunningStatistics {
 public:
  void add(const torch::Tensor& log_mel);  ///< [L', mels], L' ≥ 1
  ClipStatistics so_far(ClipStd kind) const;

 private:
  double count_ = 0, mean_ = 0;
  double squares_ = 0;  ///< sum of squared distances from the mean
};

}  // namespace axlstm::features
