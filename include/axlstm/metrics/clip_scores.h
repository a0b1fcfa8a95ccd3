// How well classes are told apart, with intervals over clips; for classifiers that are trained here. HEAR's own digits
// are in classification.h.
#pragma once

#include <cstdint>

#include "axlstm/metrics/classification.h"

namespace axlstm::metrics {

/// A score and its 95 % interval: 1.96 standard deviations of bootstrap samples of the clips (Efron, 1979) to either
/// side, within 0 … 1. Not the samples' percentiles: samples repeat clips, which are then ranked alike, so average
/// precision comes out higher in them than in the set. Without samples low = high = value.
struct Interval {
  double value = 0, low = 0, high = 0;
};

struct ClipScores {
  Interval mAP;       ///< mean of the classes' average precision
  Interval AUC;       ///< mean of their areas under the ROC curve
  Interval d_prime;   ///< √2·Φ⁻¹(AUC) of the mean and its ends, as for AudioSet; infinite where AUC is 1
  Interval accuracy;  ///< share of clips whose most probable class is one of theirs
  std::int64_t scored_classes = 0;  ///< that have clips and lack some: only these count in mAP and AUC
};

struct BootstrapOptions {
  std::int64_t resamples = 1000;
  std::uint64_t seed = 0;
  std::size_t threads = 1;
};

/// Classes that no clip has, and those that all clips have, are left out of the means: of the whole set, and of each
/// sample. NaN if there is none. Throws Error for predictions that are not a number.
ClipScores clip_scores(const ScoredClips& clips, const BootstrapOptions& options);

}  // namespace axlstm::metrics
