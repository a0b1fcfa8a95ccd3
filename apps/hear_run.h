// `hear-eval --config`: tasks and models → embeddings → scores → report, in one command.
#pragma once

#include "axlstm/config/hear_schema.h"
#include "cli.h"

namespace axlstm::cli {

/// Writes <output>/embeddings/<model>/<task>, <output>/scores/<model>_<seed>/<task> and <output>/report; what is there
/// is not computed again. A task that fails is reported and passed over.
ExitCode run_hear(const config::HearConfig& config);

}  // namespace axlstm::cli
