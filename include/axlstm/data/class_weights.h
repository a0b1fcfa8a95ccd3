// Class-balanced sampling.
#pragma once

#include <cstdint>
#include <vector>

#include "axlstm/data/clip_classes.h"

namespace axlstm::data {

/// Of each clip the sum of 1 / (clips of a class) over its classes, so that every class is drawn equally often where
/// clips have one. `classes`: those of each clip, numbers below `count`.
std::vector<double> balancing_weights(const ClipClasses& classes, std::int64_t count);

/// As many draws with replacement as there are weights, each clip by its weight, determined by `seed`.
std::vector<std::int64_t> weighted_draws(const std::vector<double>& weights, std::uint64_t seed);

}  // namespace axlstm::data
