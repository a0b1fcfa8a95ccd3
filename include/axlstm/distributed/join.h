// Several processes that pre-train one model: starting them, and finding the others.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "axlstm/distributed/process_group.h"
#include "axlstm/launch/launcher.h"

namespace axlstm::distributed {

/// Joins the other ranks that the environment tells of; null if there are none. Only rank 0 tells how things go. Throws
/// StoppedEarly if `stop` turns true meanwhile.
std::unique_ptr<ProcessGroup> join_ranks(runtime::DeviceChoice device, const DistributedOptions& options,
                                         const std::atomic<bool>& stop);

/// Starts `count` ranks on this machine and returns their exit code (launcher.h). Throws UsageError if there are fewer
/// GPUs, or if this process is a rank already.
int start_ranks(runtime::DeviceChoice device, char** argv, std::int64_t count, const launch::LaunchOptions& options);

}  // namespace axlstm::distributed
