// The score that eval.probe asks for.
#pragma once

#include "axlstm/config/schema.h"
#include "axlstm/train/trainer.h"

namespace axlstm::cli {

/// What eval.probe names, as something that the trainer can call. Throws Error or UsageError naming what is wrong with
/// the task's folder; a failure later costs the score, not the run.
train::Probe open_probe(const config::RunConfig& config, const torch::Device& device);

}  // namespace axlstm::cli
