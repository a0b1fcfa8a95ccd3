// The scores of HEAR's event tasks, with sed_eval's definitions (Mesaros et al., "Metrics for polyphonic sound event
// detection", 2016): counts are summed over all files before ratios are taken.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "axlstm/hear/events.h"

namespace axlstm::hear {

/// What is there and what was found in one file.
struct FileEvents {
  std::vector<ClassEvent> reference, estimated;
};

/// Which estimated events count as correct: same class, onsets at most `onset_collar_s` apart and, with offsets, those
/// at most max(onset_collar_s, offset_share · length of the reference event) apart.
struct EventMatching {
  double onset_collar_s = 0.2;
  double offset_share = -1.0;  ///< negative: offsets do not matter
};

/// The largest number of pairs (reference, estimated) that match with no event in two pairs.
std::int64_t count_matches(const FileEvents& file, const EventMatching& matching);

struct FMeasure {
  double f_measure = 0.0;  ///< 0 if precision and recall are 0
  double precision = 0.0;  ///< NaN if nothing was estimated, and then f_measure is NaN as well
  double recall = 0.0;     ///< NaN if there is no reference event
};

FMeasure event_f_measure(std::span<const FileEvents> files, const EventMatching& matching);

/// Substitutions, deletions and insertions of active classes in segments of one second, by the number of active
/// classes in the reference; C classes.
double segment_error_rate(std::span<const FileEvents> files, std::int64_t C);

/// The parts of the score of that name in task_metadata.json, the score itself first: f_measure, precision, recall of
/// event_onset_200ms_fms, event_onset_50ms_fms and event_onset_offset_50ms_20perc_fms; error_rate of segment_1s_er.
/// Throws Error for another name.
std::vector<std::pair<std::string, double>> event_score(const std::string& name, std::span<const FileEvents> files,
                                                        std::int64_t C);

/// True for the names that event_score takes.
bool is_event_score(const std::string& name);

}  // namespace axlstm::hear
