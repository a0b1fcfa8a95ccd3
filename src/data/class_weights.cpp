#include "axlstm/data/class_weights.h"

#include <algorithm>
#include <numeric>

#include "axlstm/core/error.h"
#include "axlstm/core/random.h"

namespace axlstm::data {

std::vector<double> balancing_weights(const ClipClasses& classes, std::int64_t count) {
  std::vector<double> clips(static_cast<std::size_t>(count), 0);
  for (std::int64_t clip = 0; clip < classes.size(); ++clip)
    for (const std::int32_t c : classes[clip]) clips.at(static_cast<std::size_t>(c)) += 1;
  std::vector<double> weights;
  weights.reserve(static_cast<std::size_t>(classes.size()));
  for (std::int64_t clip = 0; clip < classes.size(); ++clip) {
    double weight = 0;
    for (const std::int32_t c : classes[clip]) weight += 1 / clips[static_cast<std::size_t>(c)];
    weights.push_back(weight);
  }
  return weights;
}

std::vector<std::int64_t> weighted_draws(const std::vector<double>& weights, std::uint64_t seed) {
  std::vector<double> sums(weights.size());
  std::partial_sum(weights.begin(), weights.end(), sums.begin());
  AXLSTM_CHECK(!sums.empty() && sums.back() > 0, "no clip has a weight to be drawn by");
  constexpr std::uint64_t kSteps = std::uint64_t{1} << 53;
  std::vector<std::int64_t> draws(weights.size());
  for (std::size_t n = 0; n < draws.size(); ++n) {
    const double uniform =
        static_cast<double>(uniform_below(derive_seed({seed, n}), kSteps)) / static_cast<double>(kSteps);
    const auto found = std::upper_bound(sums.begin(), sums.end(), uniform * sums.back());
    draws[n] = std::min<std::int64_t>(found - sums.begin(), static_cast<std::int64_t>(sums.size()) - 1);
  }
  return draws;
}

}  // namespace axlstm::data
