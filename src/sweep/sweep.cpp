#include "axlstm/sweep/sweep.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/hear/task.h"
#include "axlstm/report/published.h"
#include "axlstm/report/show.h"
#include "axlstm/sweep/progress.h"
#include "axlstm/sweep/scheduler.h"
#include "axlstm/sweep/table.h"

namespace axlstm::sweep {
namespace {

namespace fs = std::filesystem;

/// The GPUs that may be used, as CUDA_VISIBLE_DEVICES names them.
std::vector<std::string> gpus() {
  std::vector<std::string> names;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::istringstream list(visible);
    for (std::string name; std::getline(list, name, ',');) names.push_back(name);
    return names;
  }
  std::error_code none;
  for (const auto& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", none)) {
    if (gpu.is_directory()) names.push_back(std::to_string(names.size()));
  }
  return names;
}

fs::path program_folder() { return fs::canonical("/proc/self/exe").parent_path(); }

bool has(const std::vector<Stage>& stages, Stage stage) {
  return std::find(stages.begin(), stages.end(), stage) != stages.end();
}

ExitCode exit_code(const std::vector<RunStatus>& statuses) {
  const auto count = [&](RunState state) {
    return std::count_if(statuses.begin(), statuses.end(), [&](const auto& status) { return status.state == state; });
  };
  if (count(RunState::kWaiting) > 0) {
    log::warn("interrupted; the same command resumes");
    return kInterrupted;
  }
  if (count(RunState::kDone) == static_cast<std::ptrdiff_t>(statuses.size())) return kOk;
  return count(RunState::kDone) > 0 ? kSomeFailed : kFailed;
}

/// In single quotes for a shell.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string(1, c);
  return result + "'";
}

}  // namespace

Sweep::Sweep(SweepArguments arguments)
    : arguments_(std::move(arguments)),
      plan_(load_plan(arguments_.config, arguments_.assignments)),
      runs_(runs_of(plan_)) {
  stages();
}

std::vector<Stage> Sweep::stages() const {
  if (!arguments_.stages.empty()) return parse_stages(arguments_.stages);
  const bool finetunes = !plan_.finetuning.tasks.empty();
  std::vector<Stage> all{Stage::kPretrain};
  if (!finetunes || !plan_.hear.tasks.empty()) all.insert(all.end(), {Stage::kExtract, Stage::kEvaluate});
  if (finetunes) all.push_back(Stage::kFinetune);
  return all;
}

/// The programs and the tasks. Throws UsageError for a task that is not there, or is not what the stage takes.
StageContext Sweep::context(const std::vector<Stage>& stages) const {
  StageContext context;
  context.programs = program_folder();
  if (has(stages, Stage::kExtract) || has(stages, Stage::kEvaluate)) {
    need(!plan_.hear.tasks.empty(), "hear.tasks is empty: give HEAR task folders, or --stages pretrain");
    context.tasks = hear::find_all_tasks(plan_.hear.tasks, "hear.tasks");
  }
  if (has(stages, Stage::kFinetune)) {
    need(!plan_.finetuning.tasks.empty(), "finetune.tasks is empty: give HEAR task folders, or leave out this stage");
    context.finetuning_tasks = hear::find_all_tasks(plan_.finetuning.tasks, "finetune.tasks");
    for (const fs::path& task : context.finetuning_tasks) {
      need(hear::load_task_metadata(task).embedding_type == hear::EmbeddingType::kScene,
           str("finetune.tasks: ", task.string(), " is a task of events within clips; those of whole clips are taken"));
    }
  }
  return context;
}

std::string Sweep::list() const {
  std::ostringstream lines;
  for (const Run& run : runs_) {
    lines << run.index << "  " << plan_.cells[run.cell].name << "  seed " << run.seed << "  " << run.folder.string()
          << "\n";
  }
  return lines.str();
}

std::string Sweep::slurm_script() const {
  context(stages());  // now rather than in every task
  std::ostringstream script;
  script << "#!/usr/bin/env bash\n"
            "# An array task for each run of the sweep. Submit it again to resume. A task whose time is nearly over "
            "(USR1)\n"
            "# saves and queues itself again; one that is cancelled (TERM) only saves. What SLURM pre-empts it queues "
            "again itself.\n"
            "#SBATCH --job-name=sweep\n"
         << "#SBATCH --array=0-" << runs_.size() - 1
         << "\n#SBATCH --gpus-per-task=1\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=8\n#SBATCH --requeue\n"
            "#SBATCH --signal=B:USR1@120\n"
            "program= again=  # before there is a program, a signal waits for it\n"
            "trap 'again=yes; [ -z \"$program\" ] || kill -USR1 $program' USR1\n"
            "trap 'again=never; trap : USR1; [ -z \"$program\" ] || kill -TERM $program' TERM\n"
         << "cd " << quoted(fs::current_path().string()) << " || exit 1\n"
         << quoted((program_folder() / "sweep").string()) << " --config " << quoted(arguments_.config);
  if (!arguments_.stages.empty()) script << " --stages " << quoted(arguments_.stages);
  script << " --cell \"$SLURM_ARRAY_TASK_ID\"";
  for (const std::string& assignment : arguments_.assignments) script << " " << quoted(assignment);
  script << " &\n"
            "program=$!\n"
            "[ \"$again\" != yes ] || kill -USR1 $program\n"
            "[ \"$again\" != never ] || kill -TERM $program\n"
            "wait $program\n"
            "code=$?\n"
            "while [ $code -gt 128 ] && kill -0 $program 2> /dev/null; do  # it was only the shell that heard a "
            "signal\n"
            "  wait $program\n"
            "  code=$?\n"
            "done\n"
            "# Not by SLURM_JOB_ID, which one task has in common with the array: all would be queued again.\n"
            "[ $code = 75 ] && [ \"$again\" = yes ] && "
            "scontrol requeue \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\"\n"
            "exit $code\n";
  return script.str();
}

void Sweep::show_table(const fs::path& output) const {
  TableOptions options;
  options.parameters = arguments_.parameters;
  if (plan_.hear.published && plan_.hear.grid == "released")
    options.published = report::parse_published(report::table2_csv(), "Table 2");
  report::show_report(make_table(plan_, options), output.empty() ? plan_.output / "report" : output);
}

ExitCode Sweep::run(const std::atomic<bool>& stop) const {
  std::vector<Run> runs = runs_;
  if (arguments_.cell >= static_cast<int>(runs.size()))
    throw UsageError(str("--cell ", arguments_.cell, ": there are ", runs.size(), " runs, counted from 0"));
  if (arguments_.cell >= 0) runs = {runs[static_cast<std::size_t>(arguments_.cell)]};

  SchedulerOptions options;
  options.stages = stages();
  options.gpus = gpus();
  options.jobs = arguments_.jobs > 0 ? arguments_.jobs : std::max(1, static_cast<int>(options.gpus.size()));
  options.context = context(options.stages);
  if (options.jobs > 1) options.context.evaluation_jobs = options.threads = std::max(1, allowed_cores() / options.jobs);
  options.stop = &stop;
  std::vector<RunStatus> statuses;
  {
    SweepProgress progress(plan_, runs);
    options.progress = [&](const std::vector<RunStatus>& changed) { progress(changed); };
    statuses = run_sweep(plan_, runs, options);
  }
  const ExitCode code = exit_code(statuses);
  const bool evaluates = has(options.stages, Stage::kEvaluate) || has(options.stages, Stage::kFinetune);
  if (evaluates && arguments_.cell < 0 && (code == kOk || code == kSomeFailed)) show_table();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (statuses[i].state != RunState::kFailed) continue;
    log::error(str("failed: ", plan_.cells[runs[i].cell].name, " seed ", runs[i].seed, ": ", statuses[i].error));
  }
  return code;
}

}  // namespace axlstm::sweep
