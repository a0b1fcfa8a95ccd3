// A whole training: this process alone, or as one of the ranks that the environment tells of.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "axlstm/config/schema.h"
#include "axlstm/core/exit_code.h"

namespace axlstm::suite {

/// Trains until the schedule ends or `stop` turns true, with the probe that the configuration names. `announce` is told
/// which kernels compute, before anything is read. A rank that fails tells the others why and ends its process.
ExitCode train(const config::RunConfig& config, const std::atomic<bool>& stop,
               const std::function<void(const std::string& kernels)>& announce);

/// Checks configuration, data and memory, makes a few steps and prints how long the run will take; writes nothing.
ExitCode dry_run(const config::RunConfig& config, const std::function<void(const std::string& kernels)>& announce);

}  // namespace axlstm::suite
