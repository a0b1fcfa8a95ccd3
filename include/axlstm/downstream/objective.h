// What a downstream model is trained and chosen for: its loss, its scores and how predictions are scored.
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "axlstm/hear/event_metrics.h"
#include "axlstm/hear/events.h"
#include "axlstm/hear/task.h"

namespace axlstm::downstream {

/// The frames of one file of an event task and the events that are in it.
struct EventFile {
  std::string name;                   ///< a key of <split>.json
  std::vector<std::int64_t> rows;     ///< among the rows of the split, by time
  std::vector<double> timestamps_ms;  ///< of each, rising
  std::vector<hear::ClassEvent> reference;
};

/// The rows of a split.
struct SplitData {
  torch::Tensor embeddings;                                  ///< [N, D] float32
  torch::Tensor targets;                                     ///< [N, C] float32, 1 for the labels of the row, else 0
  std::shared_ptr<const std::vector<EventFile>> files = {};  ///< of an event task, else none
};

/// What is predicted and what decides when to stop and which epoch and grid point is best.
struct DownstreamObjective {
  hear::PredictionType prediction_type = hear::PredictionType::kMulticlass;
  std::vector<std::string> scores;  ///< names in task_metadata.json; the first one is the primary one
  bool monitor_loss = false;        ///< the validation loss instead of the primary score
  std::vector<hear::Postprocessing> postprocessing = {};  ///< of events, to choose from at each validation

  /// False if smaller is better: a loss, an error rate.
  bool maximize() const;

  /// True if `candidate` beats `best`; equal values do not, nor does NaN.
  bool is_better(double candidate, double best) const { return maximize() ? candidate > best : candidate < best; }
};

/// The objective that task_metadata.json asks for. Throws Error naming a score that its kind of task does not have.
DownstreamObjective objective_of(const hear::TaskMetadata& metadata);

struct PrimaryScore {
  double value = 0.0;                                  ///< as the kit logs it: rounded to float32, d_prime alone is not
  std::optional<hear::Postprocessing> postprocessing;  ///< event tasks: the one of the largest value
};

/// The events in each file of an event task's `data`, as they are and as `predictions` (below) have them.
std::vector<hear::FileEvents> events_of(const torch::Tensor& predictions, const SplitData& data,
                                        const hear::Postprocessing& postprocessing);

/// `predictions`: [N, C] float32 probabilities for the rows of `data`, on the CPU.
PrimaryScore primary_score(const DownstreamObjective& objective, const torch::Tensor& predictions,
                           const SplitData& data);

/// (name, value) of each score, an event score followed by its parts (`segment_1s_er`, `segment_1s_er_error_rate`);
/// values as above. `postprocessing` is that of an event task.
std::vector<std::pair<std::string, double>> all_scores(const DownstreamObjective& objective,
                                                       const torch::Tensor& predictions, const SplitData& data,
                                                       const std::optional<hear::Postprocessing>& postprocessing);

}  // namespace axlstm::downstream
