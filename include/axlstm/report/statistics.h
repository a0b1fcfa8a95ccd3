// Means over seeds with the interval that the paper prints.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace axlstm::report {

struct MeanInterval {
  double mean = 0.0;
  std::optional<double> half_width;  ///< of the 95 % interval of Student's t; none for a single value
  std::size_t n = 0;
};

/// mean ± t(0.975, n - 1) · standard error. Needs at least one value.
MeanInterval mean_interval(std::span<const double> values);

/// The value that a t-distributed variable of `degrees` ≥ 1 degrees of freedom exceeds with probability 2.5 %.
double t_quantile_975(std::size_t degrees);

}  // namespace axlstm::report
