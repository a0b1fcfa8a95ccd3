// Runs of a sweep, several at a time, each stage by stage.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "axlstm/sweep/stages.h"

namespace axlstm::sweep {

enum class RunState { kWaiting, kRunning, kDone, kFailed, kElsewhere };

struct RunStatus {
  RunState state = RunState::kWaiting;
  Stage stage = Stage::kPretrain;  ///< the one under way, or that failed
  std::string error;               ///< when failed
  bool found = false;              ///< done: nothing was left to do
};

struct SchedulerOptions {
  std::vector<Stage> stages;
  StageContext context;
  int jobs = 1;                             ///< runs at once
  int threads = 0;                          ///< of a run's operators, unless OMP_NUM_THREADS says; 0: LibTorch's choice
  std::vector<std::string> gpus;            ///< values for CUDA_VISIBLE_DEVICES, one for each job in turn; empty: unset
  const std::atomic<bool>* stop = nullptr;  ///< when true, children are ended and nothing more is begun
  /// Called at every change, by one thread at a time; may be empty.
  std::function<void(const std::vector<RunStatus>&)> progress = nullptr;
};

/// Runs what is not done yet and returns how each of `runs` ended; one that fails does not end the others. A run that
/// another process works on is passed over (kElsewhere). Output of the programs goes to <run>/<stage>.log.
std::vector<RunStatus> run_sweep(const Plan& plan, const std::vector<Run>& runs, const SchedulerOptions& options);

}  // namespace axlstm::sweep
