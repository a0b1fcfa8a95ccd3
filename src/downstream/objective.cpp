#include "axlstm/downstream/objective.h"

#include <torch/torch.h>

#include <cmath>

#include "axlstm/core/error.h"
#include "axlstm/hear/event_metrics.h"
#include "axlstm/metrics/classification.h"

namespace axlstm::downstream {
namespace {

/// The kit logs values as float32 tensors; d_prime, a NumPy float64, becomes a float64 one.
double as_logged(const std::string& name, double value) {
  return name == "d_prime" ? value : static_cast<double>(static_cast<float>(value));
}

std::span<const float> span_of(const torch::Tensor& table) {
  return {table.const_data_ptr<float>(), static_cast<std::size_t>(table.numel())};
}

double scene_score(const std::string& name, const torch::Tensor& predictions, const SplitData& data) {
  const torch::Tensor targets = data.targets.cpu();
  return as_logged(name, metrics::score(name, {span_of(predictions), span_of(targets), targets.size(1)}));
}

}  // namespace

std::vector<hear::FileEvents> events_of(const torch::Tensor& predictions, const SplitData& data,
                                        const hear::Postprocessing& postprocessing) {
  const std::int64_t C = predictions.size(1);
  const std::span<const float> table = span_of(predictions);
  std::vector<hear::FileEvents> files;
  std::vector<float> probabilities;
  for (const EventFile& file : *data.files) {
    probabilities.clear();
    for (const std::int64_t row : file.rows) {
      const auto values = table.subspan(static_cast<std::size_t>(row * C), static_cast<std::size_t>(C));
      probabilities.insert(probabilities.end(), values.begin(), values.end());
    }
    files.push_back({file.reference, hear::find_events(probabilities, file.timestamps_ms, C, postprocessing)});
  }
  return files;
}

bool DownstreamObjective::maximize() const { return !monitor_loss && scores.front() != "segment_1s_er"; }

DownstreamObjective objective_of(const hear::TaskMetadata& metadata) {
  const bool events = metadata.embedding_type == hear::EmbeddingType::kEvent;
  AXLSTM_CHECK(!events || metadata.prediction_type == hear::PredictionType::kMultilabel, metadata.task_name,
               ": an event task must be multilabel");
  for (const std::string& name : metadata.evaluation) {
    AXLSTM_CHECK(hear::is_event_score(name) == events, metadata.task_name, ": score \"", name, "\" is none of ",
                 events ? "an event" : "a scene", " task");
  }
  DownstreamObjective objective{
      metadata.prediction_type, metadata.evaluation, !metadata.use_scoring_for_early_stopping, {}};
  if (events) objective.postprocessing = hear::postprocessing_points(metadata);
  return objective;
}

PrimaryScore primary_score(const DownstreamObjective& objective, const torch::Tensor& predictions,
                           const SplitData& data) {
  const std::string& name = objective.scores.front();
  if (!data.files) return {scene_score(name, predictions, data), {}};
  // Official: the largest score is taken even of an error rate; NaN counts as 0; of equal ones the larger parameters.
  std::optional<std::pair<double, hear::Postprocessing>> best;
  double best_value = 0.0;
  for (const hear::Postprocessing& candidate : objective.postprocessing) {
    const auto files = events_of(predictions, data, candidate);
    const double value = hear::event_score(name, files, predictions.size(1)).front().second;
    const std::pair ranked(std::isnan(value) ? 0.0 : value, candidate);
    if (best && !(ranked > *best)) continue;
    best = ranked;
    best_value = value;
  }
  return {as_logged(name, best_value), best->second};
}

std::vector<std::pair<std::string, double>> all_scores(const DownstreamObjective& objective,
                                                       const torch::Tensor& predictions, const SplitData& data,
                                                       const std::optional<hear::Postprocessing>& postprocessing) {
  std::vector<std::pair<std::string, double>> values;
  std::vector<hear::FileEvents> files;
  if (data.files) files = events_of(predictions, data, postprocessing.value());
  for (const std::string& name : objective.scores) {
    if (!data.files) {
      values.emplace_back(name, scene_score(name, predictions, data));
      continue;
    }
    const auto parts = hear::event_score(name, files, predictions.size(1));
    values.emplace_back(name, as_logged(name, parts.front().second));
    for (const auto& [part, value] : parts) values.emplace_back(name + "_" + part, as_logged(name, value));
  }
  return values;
}

}  // namespace axlstm::downstream
