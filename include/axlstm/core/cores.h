// How many CPU cores this process may use, which is often fewer than the machine has.
#pragma once

#include <filesystem>
#include <string>

#include "axlstm/core/environment.h"

namespace axlstm {

/// Where the limits are found; a test plays them.
struct CoreLimits {
  int affinity = 1;                  ///< cores that the process may run on (taskset, cpuset, a container's)
  std::filesystem::path root = "/";  ///< holds proc/self/cgroup, proc/self/mountinfo and what they name
  Environment environment;           ///< SLURM_CPUS_PER_TASK, SLURM_CPUS_ON_NODE
};

/// Of this process.
CoreLimits process_core_limits();

/// The least of affinity, of the CPU quota of its control group and of those above it (cgroup v1 and v2; parts of a
/// core count as one), and of what SLURM says; at least 1. `sharers`: so many processes of this program divide all of
/// this but SLURM_CPUS_PER_TASK, which is each one's own.
int allowed_cores(const CoreLimits& limits, int sharers = 1);
int allowed_cores(int sharers = 1);

/// The cores that this process may run on, as text that is equal for equal sets.
std::string affinity_mask();

/// Threads of one operator as the user asked for them in the environment (OMP_NUM_THREADS, MKL_NUM_THREADS); 0: not.
int threads_asked_for(const Environment& environment);

}  // namespace axlstm
