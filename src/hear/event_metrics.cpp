#include "axlstm/hear/event_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "axlstm/core/error.h"

namespace axlstm::hear {
namespace {

constexpr double kMsPerSecond = 1000.0;

const std::map<std::string, EventMatching>& matchings() {
  static const std::map<std::string, EventMatching> known{{"event_onset_200ms_fms", {0.2, -1.0}},
                                                          {"event_onset_50ms_fms", {0.05, -1.0}},
                                                          {"event_onset_offset_50ms_20perc_fms", {0.05, 0.2}}};
  return known;
}

constexpr const char* kSegmentErrorRate = "segment_1s_er";

// Seconds come from a division of each time, and are subtracted then: times just at the collar depend on it.
bool match(const ClassEvent& reference, const ClassEvent& estimated, const EventMatching& matching) {
  const auto difference = [](double a_ms, double b_ms) { return std::abs(a_ms / kMsPerSecond - b_ms / kMsPerSecond); };
  if (reference.c != estimated.c) return false;
  if (difference(reference.start_ms, estimated.start_ms) > matching.onset_collar_s) return false;
  if (matching.offset_share < 0.0) return true;
  const double length_s = reference.end_ms / kMsPerSecond - reference.start_ms / kMsPerSecond;
  return difference(reference.end_ms, estimated.end_ms) <=
         std::max(matching.onset_collar_s, matching.offset_share * length_s);
}

/// [S, C] one character a cell: 1 where a class is active in a segment of one second.
std::vector<char> activity(const std::vector<ClassEvent>& events, std::int64_t S, std::int64_t C) {
  std::vector<char> roll(static_cast<std::size_t>(S * C), 0);
  for (const ClassEvent& event : events) {
    const auto first = static_cast<std::int64_t>(std::floor(event.start_ms / kMsPerSecond));
    const auto end = static_cast<std::int64_t>(std::ceil(event.end_ms / kMsPerSecond));
    for (std::int64_t s = std::max<std::int64_t>(first, 0); s < std::min(end, S); ++s) {
      roll[static_cast<std::size_t>(s * C + event.c)] = 1;
    }
  }
  return roll;
}

}  // namespace

std::int64_t count_matches(const FileEvents& file, const EventMatching& matching) {
  // Maximum bipartite matching by augmenting paths: an estimated event may push out another one that finds a new place.
  constexpr std::size_t kFree = static_cast<std::size_t>(-1);
  std::vector<std::size_t> taken_by(file.reference.size(), kFree);
  std::vector<char> visited;
  const std::function<bool(std::size_t)> place = [&](std::size_t estimated) {
    for (std::size_t r = 0; r < file.reference.size(); ++r) {
      if (visited[r] || !match(file.reference[r], file.estimated[estimated], matching)) continue;
      visited[r] = 1;
      if (taken_by[r] == kFree || place(taken_by[r])) {
        taken_by[r] = estimated;
        return true;
      }
    }
    return false;
  };
  std::int64_t matches = 0;
  for (std::size_t e = 0; e < file.estimated.size(); ++e) {
    visited.assign(file.reference.size(), 0);
    matches += place(e);
  }
  return matches;
}

FMeasure event_f_measure(std::span<const FileEvents> files, const EventMatching& matching) {
  double correct = 0.0, references = 0.0, estimates = 0.0;
  for (const FileEvents& file : files) {
    correct += static_cast<double>(count_matches(file, matching));
    references += static_cast<double>(file.reference.size());
    estimates += static_cast<double>(file.estimated.size());
  }
  FMeasure result;
  result.precision = correct / estimates;
  result.recall = correct / references;
  const bool nothing = result.precision == 0.0 && result.recall == 0.0;
  result.f_measure = nothing ? 0.0 : 2.0 * (result.precision * result.recall / (result.precision + result.recall));
  return result;
}

double segment_error_rate(std::span<const FileEvents> files, std::int64_t C) {
  double errors = 0.0, active_references = 0.0;
  for (const FileEvents& file : files) {
    double length_ms = 0.0;
    for (const ClassEvent& event : file.reference) length_ms = std::max(length_ms, event.end_ms);
    for (const ClassEvent& event : file.estimated) length_ms = std::max(length_ms, event.end_ms);
    const auto S = static_cast<std::int64_t>(std::ceil(length_ms / kMsPerSecond));
    const std::vector<char> reference = activity(file.reference, S, C), estimated = activity(file.estimated, S, C);
    for (std::int64_t s = 0; s < S; ++s) {
      double in_reference = 0.0, in_estimated = 0.0, in_both = 0.0;
      for (std::int64_t c = 0; c < C; ++c) {
        const auto cell = static_cast<std::size_t>(s * C + c);
        in_reference += reference[cell];
        in_estimated += estimated[cell];
        in_both += reference[cell] & estimated[cell];
      }
      const double substitutions = std::min(in_reference, in_estimated) - in_both;
      const double deletions = std::max(0.0, in_reference - in_estimated);
      const double insertions = std::max(0.0, in_estimated - in_reference);
      errors += substitutions + deletions + insertions;
      active_references += in_reference;
    }
  }
  return errors / active_references;
}

bool is_event_score(const std::string& name) { return name == kSegmentErrorRate || matchings().contains(name); }

std::vector<std::pair<std::string, double>> event_score(const std::string& name, std::span<const FileEvents> files,
                                                        std::int64_t C) {
  if (name == kSegmentErrorRate) return {{"error_rate", segment_error_rate(files, C)}};
  const auto matching = matchings().find(name);
  if (matching == matchings().end()) {
    std::string known;
    for (const auto& each : matchings()) known += each.first + ", ";
    throw Error(str("score \"", name, "\" of an event task is not known; known: ", known, kSegmentErrorRate));
  }
  const FMeasure result = event_f_measure(files, matching->second);
  return {{"f_measure", result.f_measure}, {"precision", result.precision}, {"recall", result.recall}};
}

}  // namespace axlstm::hear
