// The score that eval.probe asks for.
#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "axlstm/config/schema.h"
#include "axlstm/model/encoder.h"

namespace axlstm::downstream {

/// Scores an encoder as it is; nothing if that failed.
using TrainingProbe = std::function<std::optional<double>(model::Encoder encoder)>;

/// What eval.probe names. Throws Error or UsageError naming what is wrong with the task's folder; a failure later costs
/// the score, not the run. Draws no random numbers.
TrainingProbe open_probe(const config::RunConfig& config, const torch::Device& device);

}  // namespace axlstm::downstream
