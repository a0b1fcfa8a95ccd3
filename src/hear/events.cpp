#include "axlstm/hear/events.h"

#include <algorithm>
#include <cmath>

#include "axlstm/core/error.h"

namespace axlstm::hear {
namespace {

constexpr float kThreshold = 0.5F;

/// Frames of the median filter: Python's round(filter / mean step), which takes the even one of two nearest integers.
std::int64_t filter_width(std::span<const double> timestamps_ms, double median_filter_ms) {
  if (timestamps_ms.size() < 2) return 0;
  const double step_ms = (timestamps_ms.back() - timestamps_ms.front()) / static_cast<double>(timestamps_ms.size() - 1);
  return static_cast<std::int64_t>(std::nearbyint(median_filter_ms / step_ms));
}

}  // namespace

std::vector<Postprocessing> postprocessing_points(const TaskMetadata& metadata) {
  std::map<std::string, std::vector<double>> grid{{"median_filter_ms", {250.0}}, {"min_duration", {125.0, 250.0}}};
  if (!metadata.event_postprocessing_grid.empty()) {
    const auto& given = metadata.event_postprocessing_grid;
    for (const auto& [name, values] : given) {
      AXLSTM_CHECK(grid.contains(name), metadata.task_name, ": event_postprocessing_grid \"", name,
                   "\" is not known (median_filter_ms and min_duration are)");
    }
    AXLSTM_CHECK(given.size() == grid.size(), metadata.task_name,
                 ": event_postprocessing_grid needs both median_filter_ms and min_duration");
    grid = given;
  }
  std::vector<Postprocessing> points;
  for (const double median_filter_ms : grid["median_filter_ms"]) {
    for (const double min_duration_ms : grid["min_duration"]) points.push_back({median_filter_ms, min_duration_ms});
  }
  return points;
}

std::vector<char> median_filter(std::span<const char> active, std::int64_t width) {
  std::vector<char> filtered(active.begin(), active.end());
  const auto n = static_cast<std::int64_t>(active.size());
  if (width <= 1 || n == 0) return filtered;
  const auto at = [&](std::int64_t i) -> std::int64_t {  // … c b a | a b c … z | z y x …
    const std::int64_t place = ((i % (2 * n)) + 2 * n) % (2 * n);
    return active[static_cast<std::size_t>(place < n ? place : 2 * n - 1 - place)];
  };
  // The window's value number width / 2 from below is 1 if that many or fewer of its values are 0.
  const std::int64_t needed = width - width / 2;
  std::int64_t ones = 0;
  for (std::int64_t k = 0; k < width; ++k) ones += at(k - width / 2);
  for (std::int64_t i = 0; i < n; ++i) {
    filtered[static_cast<std::size_t>(i)] = ones >= needed;
    ones += at(i - width / 2 + width) - at(i - width / 2);
  }
  return filtered;
}

std::vector<ClassEvent> find_events(std::span<const float> probabilities, std::span<const double> timestamps_ms,
                                    std::int64_t C, const Postprocessing& postprocessing) {
  const std::size_t T = timestamps_ms.size();
  const std::int64_t width = filter_width(timestamps_ms, postprocessing.median_filter_ms);
  std::vector<ClassEvent> events;
  std::vector<char> active(T);
  for (std::int64_t c = 0; c < C; ++c) {
    // The threshold may come before the filter: the median is above it just if the median of the comparisons is 1.
    for (std::size_t t = 0; t < T; ++t) {
      active[t] = probabilities[t * static_cast<std::size_t>(C) + static_cast<std::size_t>(c)] > kThreshold;
    }
    const std::vector<char> filtered = median_filter(active, width);
    for (std::size_t first = 0; first < T; ++first) {
      if (!filtered[first]) continue;
      std::size_t last = first;
      while (last + 1 < T && filtered[last + 1]) ++last;
      const ClassEvent event{c, timestamps_ms[first], timestamps_ms[last]};
      if (event.end_ms - event.start_ms >= postprocessing.min_duration_ms) events.push_back(event);
      first = last;
    }
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const ClassEvent& a, const ClassEvent& b) { return a.start_ms < b.start_ms; });
  return events;
}

}  // namespace axlstm::hear
