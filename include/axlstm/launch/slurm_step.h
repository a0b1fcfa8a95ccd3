// Whether SLURM's variables are about this process, or were inherited from something else.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "axlstm/core/environment.h"

namespace axlstm::launch {

/// What the system knows of the process that SLURM_TASK_PID names.
struct SlurmTask {
  bool is_ours = false;             ///< this process, or one that started it without being a shell for people
  std::optional<std::string> step;  ///< "0", "batch", … as the slurmstepd above it is called; nothing if it is hidden
};
using LookAtTask = std::function<SlurmTask(std::int64_t pid)>;

/// Asks this system.
SlurmTask look_at_task(std::int64_t pid);

enum class SlurmStep {
  kNone,         ///< SLURM's variables say nothing of several tasks
  kTask,         ///< one of a step's tasks
  kInteractive,  ///< typed into a shell that is one of a step's tasks (`srun --ntasks=4 --pty bash`)
  kInherited,    ///< a step's variables without the step, such as in a job that was submitted from within one
};

SlurmStep slurm_step(const Environment& environment, const LookAtTask& look);

}  // namespace axlstm::launch
