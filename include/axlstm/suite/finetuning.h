// `finetune`: from an encoder and labels to a classifier and its scores.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "axlstm/config/schema.h"
#include "axlstm/core/exit_code.h"

namespace axlstm::suite {

/// What the user gave, laid over what follows from it: objective.name, and the sections model and audio of
/// classification.encoder (of the run itself, if that is there already). Throws as config::load().
config::Node with_encoder(const config::Node& given);

/// One configuration for each model that is trained: each fold of data.task that data.fold names, in a folder of its
/// own in train.run_dir; else the one itself. Classes are filled in, and what a task tells. Throws UsageError or Error
/// naming what does not fit.
std::vector<config::RunConfig> fine_tunings(const config::RunConfig& config);

/// Trains one of them, then scores its best checkpoint on the test clips, if there are some → <run_dir>/test.json.
ExitCode finetune(const config::RunConfig& config, const std::atomic<bool>& stop,
                  const std::function<void(const std::string& kernels)>& announce);

/// Means over the folds' test.json → <run_dir>/scores.json, and a table on the terminal. Nothing if there is one model.
void summarize(const config::RunConfig& config, const std::vector<config::RunConfig>& folds);

}  // namespace axlstm::suite
