// What the programs that train have in common: their options, and ranks.
#pragma once

#include <functional>
#include <string>

#include "axlstm/launch/launcher.h"
#include "cli.h"

namespace axlstm::cli {

struct TrainingArguments {
  ConfigArguments config;
  bool dump_config = false, config_reference = false, dry_run = false;
  std::int64_t nproc = 0;
  launch::LaunchOptions launch;

  void add_to(CLI::App& app);

  /// True if ranks are to be started by this process.
  bool starts_ranks() const;
};

/// Logs the banner of `program` with the kernels that compute.
std::function<void(const std::string& kernels)> announcer(const std::string& program, runtime::DeviceChoice device);

}  // namespace axlstm::cli
