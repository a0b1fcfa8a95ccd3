#include "axlstm/report/statistics.h"

#include <cmath>
#include <numbers>

#include "axlstm/core/error.h"

namespace axlstm::report {
namespace {

/// P(|T| ≤ t) for a whole number of degrees of freedom: finite series in θ = atan(t / √ν)
/// (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).
double t_probability_within(double t, std::size_t degrees) {
  const double theta = std::atan(t / std::sqrt(static_cast<double>(degrees)));
  const double cosine = std::cos(theta), sine = std::sin(theta);
  const bool odd = degrees % 2 == 1;
  double sum = 0.0;
  double term = odd ? cosine : 1.0;
  for (std::size_t power = odd ? 1 : 0; power + 2 <= degrees; power += 2) {
    sum += term;
    const auto k = static_cast<double>(power);
    term *= cosine * cosine * (k + 1.0) / (k + 2.0);
  }
  return odd ? 2.0 / std::numbers::pi * (theta + sine * sum) : sine * sum;
}

}  // namespace

double t_quantile_975(std::size_t degrees) {
  AXLSTM_CHECK(degrees >= 1, "Student's t needs a degree of freedom");
  double low = 1.0, high = 13.0;  // 1.96 for many degrees, 12.7 for one
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2.0;
    (t_probability_within(middle, degrees) < 0.95 ? low : high) = middle;
  }
  return low;
}

MeanInterval mean_interval(std::span<const double> values) {
  AXLSTM_CHECK(!values.empty(), "a mean of no values");
  const auto n = static_cast<double>(values.size());
  double sum = 0.0;
  for (const double value : values) sum += value;
  MeanInterval result{sum / n, {}, values.size()};
  if (values.size() < 2) return result;
  double squares = 0.0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.half_width = t_quantile_975(values.size() - 1) * std::sqrt(squares / (n - 1.0) / n);
  return result;
}

}  // namespace axlstm::report
