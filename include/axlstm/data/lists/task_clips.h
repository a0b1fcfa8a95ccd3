// The clips of a HEAR task (hear/task.h) as a list. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>

#include "axlstm/data/lists/manifest.h"

namespace axlstm::data {

/// How many models a task trains: its folds, or 1.
std::int64_t task_folds(const std::filesystem::path& task);

/// Throws Error naming a clip that is in two splits of `fold`: one that is trained on and another one.
void check_folds(const std::filesystem::path& task, std::int64_t fold, std::int64_t sample_rate);

/// The clips of a part of fold `fold` with their labels: of options.task, options.fold and options.part. Audio is that
/// of the folder of `sample_rate`, or of the highest rate that is there. Throws UsageError for a folder that is no task
/// of whole clips, or has no such fold.
Manifest task_clips(const DataOptions& options, std::int64_t sample_rate);

}  // namespace axlstm::data
