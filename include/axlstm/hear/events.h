// From probabilities of frames to events, as HEAR's evaluation kit turns them: median filter, threshold, minimum
// length.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "axlstm/hear/task.h"

namespace axlstm::hear {

/// An event of class `c`, an index into the label vocabulary.
struct ClassEvent {
  std::int64_t c = 0;
  double start_ms = 0.0;
  double end_ms = 0.0;

  bool operator==(const ClassEvent&) const = default;
};

/// One point of the grid that is searched at every validation; points compare by their fields in this order.
struct Postprocessing {
  double median_filter_ms = 0.0;  ///< length of the filter; 0: none
  double min_duration_ms = 0.0;   ///< shorter events are dropped

  auto operator<=>(const Postprocessing&) const = default;  // NOLINT(modernize-use-nullptr): the 0 that it makes
};

/// The points to try: evaluation_params.event_postprocessing_grid of the metadata, or HEAR's default (filter 250 ms,
/// minimum 125 or 250 ms). Throws Error naming the task for a key other than median_filter_ms and min_duration, and if
/// one of the two is missing.
std::vector<Postprocessing> postprocessing_points(const TaskMetadata& metadata);

/// Whether each frame is active in one class after the median filter: `active` before it, T values of 0 or 1.
/// Reflects at the ends, the outer frames doubled; an even width takes the upper of the two middle values.
std::vector<char> median_filter(std::span<const char> active, std::int64_t width);

/// The events of one file: runs of frames whose filtered probability is above 0.5, from the time of the first to the
/// time of the last frame, sorted by start. `probabilities` is [T, C] row by row, `timestamps_ms` rises.
/// A file of one frame has no frame rate and is not filtered (Official: it stops the kit).
std::vector<ClassEvent> find_events(std::span<const float> probabilities, std::span<const double> timestamps_ms,
                                    std::int64_t C, const Postprocessing& postprocessing);

}  // namespace axlstm::hear
