#include "axlstm/launch/slurm_step.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace axlstm::launch {
namespace {

std::optional<std::int64_t> number(const std::optional<std::string>& text) {
  std::int64_t value = 0;
  if (!text) return std::nullopt;
  const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), value);
  return status == std::errc() ? std::optional(value) : std::nullopt;
}

/// "slurmstepd: [43.batch]" → "batch".
std::optional<std::string> step_in_title(const std::string& title) {
  const auto open = title.find('['), dot = title.rfind('.'), close = title.find(']');
  const bool whole = title.starts_with("slurmstepd") && open < dot && dot < close && close != std::string::npos;
  return whole ? std::optional(title.substr(dot + 1, close - dot - 1)) : std::nullopt;
}

std::int64_t parent_of(std::int64_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    if (word == "PPid:" && status >> pid) return pid;
  }
  return 0;
}

/// The batch script's variables are those of a step with one task; what a step of several left behind contradicts them.
bool is_contradicted(const Environment& environment, const SlurmTask& task) {
  const auto step = environment("SLURM_STEP_ID");
  if (task.step && step) {
    const auto own = number(task.step), claimed = number(step);
    // Steps without a task of the user's have names and, in the variables, numbers near 2³².
    constexpr std::int64_t kFirstSpecial = 0xfffffff0;
    return own ? own != claimed : claimed < kFirstSpecial;
  }
  if (environment("SLURM_STEP_NUM_NODES").value_or("") != "1") return false;
  const auto tasks_here = environment("SLURM_GTIDS");
  return tasks_here &&
         1 + std::count(tasks_here->begin(), tasks_here->end(), ',') != number(environment("SLURM_STEP_NUM_TASKS"));
}

}  // namespace

SlurmTask look_at_task(std::int64_t pid) {
  SlurmTask task;
  // A shell that people type into gives every command a process group of its own, a script's commands stay in the
  // script's.
  task.is_ours = pid == ::getpid() || ::getpgid(static_cast<pid_t>(pid)) == ::getpgrp();
  std::ifstream command("/proc/" + std::to_string(parent_of(pid)) + "/cmdline");
  std::ostringstream title;
  title << command.rdbuf();
  task.step = step_in_title(title.str());
  return task;
}

SlurmStep slurm_step(const Environment& environment, const LookAtTask& look) {
  if (!environment("SLURM_PROCID") || number(environment("SLURM_STEP_NUM_TASKS")).value_or(1) == 1)
    return SlurmStep::kNone;
  const auto pid = number(environment("SLURM_TASK_PID"));
  const SlurmTask task = pid ? look(*pid) : SlurmTask{};
  if (is_contradicted(environment, task)) return SlurmStep::kInherited;
  return environment("SLURM_PTY_PORT") && !task.is_ours ? SlurmStep::kInteractive : SlurmStep::kTask;
}

}  // namespace axlstm::launch
