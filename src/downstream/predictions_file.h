// `<fold>.predictions.pkl`, the official runner's file of what a downstream model predicts (private to hear/).
#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "axlstm/downstream/objective.h"

namespace axlstm::downstream {

/// Python pickle of a dictionary: tensors `target`, `prediction` (probabilities) and `prediction_logit`, [N, C] float32
/// in the order of the embeddings' rows; of an event task also `timestamp` [N] float64 in ms, and `target_events` and
/// `predicted_events`: file name → list of {"label", "start", "end"}. Unpickling it needs PyTorch and NumPy.
/// `labels` are the names of the C classes; `postprocessing` is that of an event task.
std::string predictions_pickle(const torch::Tensor& predictions, const torch::Tensor& logits, const SplitData& data,
                               const std::vector<std::string>& labels,
                               const std::optional<hear::Postprocessing>& postprocessing);

}  // namespace axlstm::downstream
