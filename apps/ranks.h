// Several processes that pre-train one model: starting them, and finding the others.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "axlstm/config/schema.h"
#include "axlstm/train/process_group.h"
#include "launcher.h"

namespace axlstm::cli {

/// Joins the other ranks that the environment tells of; null if there are none. Only rank 0 tells how things go. Throws
/// train::StoppedEarly if `stop` turns true meanwhile.
std::unique_ptr<train::ProcessGroup> join_ranks(const config::RunConfig& config, const std::atomic<bool>& stop);

/// Throws UsageError naming the key if this rank was given another configuration than rank 0.
void compare_configurations(train::ProcessGroup& group, const std::string& yaml);

/// Starts `count` ranks on this machine and returns their exit code (launcher.h). Throws UsageError if there are fewer
/// GPUs, or if this process is a rank already.
int start_ranks(const config::RunConfig& config, char** argv, std::int64_t count, const LaunchOptions& options);

}  // namespace axlstm::cli
