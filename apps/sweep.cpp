// sweep: a base configuration × cells × seeds → pretrain, extract and hear-eval for each → one table.
#include "axlstm/sweep/scheduler.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/hear/published.h"
#include "axlstm/hear/task.h"
#include "axlstm/model/masked_model.h"
#include "axlstm/sweep/table.h"
#include "cli.h"
#include "report.h"
#include "sweep_progress.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

struct Arguments {
  std::string config;
  std::vector<std::string> assignments;
  std::string stages = "pretrain,extract,hear-eval";
  int jobs = 0;
  int cell = -1;
  bool list = false, slurm = false;
  fs::path report_output;

  sweep::Plan plan() const { return sweep::load_plan(config, assignments); }
};

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

std::vector<fs::path> tasks_of(const sweep::Plan& plan) {
  if (plan.hear.tasks.empty()) throw UsageError("hear.tasks is empty: give HEAR task folders, or --stages pretrain");
  return hear::find_all_tasks(plan.hear.tasks, "hear.tasks");
}

hear::Report table_of(const sweep::Plan& plan) {
  sweep::TableOptions options;
  options.parameters = [](const config::RunConfig& config) {
    return model::parameter_count(*model::MaskedModel(config.model));
  };
  if (plan.hear.published && plan.hear.grid == "released") {
    options.published = hear::parse_published(hear::table2_csv(), "Table 2");
  }
  return sweep::make_table(plan, options);
}

/// In single quotes for a shell.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string(1, c);
  return result + "'";
}

void print_slurm_script(const Arguments& arguments, std::size_t runs) {
  std::cout
      << "#!/usr/bin/env bash\n"
         "# An array task for each run of the sweep. Submit it again to resume. A task whose time is nearly over "
         "(USR1)\n"
         "# saves and queues itself again; one that is cancelled (TERM) only saves. What SLURM pre-empts it queues "
         "again itself.\n"
         "#SBATCH --job-name=sweep\n"
      << "#SBATCH --array=0-" << runs - 1
      << "\n#SBATCH --gpus-per-task=1\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=8\n#SBATCH --requeue\n"
         "#SBATCH --signal=B:USR1@120\n"
      << "cd " << quoted(fs::current_path().string()) << " || exit 1\n"
      << quoted((program_folder() / "sweep").string()) << " --config " << quoted(arguments.config) << " --stages "
      << quoted(arguments.stages) << " --cell \"$SLURM_ARRAY_TASK_ID\"";
  for (const std::string& assignment : arguments.assignments) std::cout << " " << quoted(assignment);
  std::cout << " &\n"
               "program=$! again=\n"
               "trap 'again=yes; kill -USR1 $program' USR1\n"
               "trap 'again=never; trap : USR1; kill -TERM $program' TERM\n"
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
}

void list_runs(const sweep::Plan& plan, const std::vector<sweep::Run>& runs) {
  for (const sweep::Run& run : runs) {
    std::cout << run.index << "  " << plan.cells[run.cell].name << "  seed " << run.seed << "  " << run.folder.string()
              << "\n";
  }
}

cli::ExitCode exit_code(const std::vector<sweep::RunStatus>& statuses) {
  const auto count = [&](sweep::RunState state) {
    return std::count_if(statuses.begin(), statuses.end(), [&](const auto& status) { return status.state == state; });
  };
  if (count(sweep::RunState::kWaiting) > 0) {
    log::warn("interrupted; the same command resumes");
    return cli::kInterrupted;
  }
  if (count(sweep::RunState::kDone) == static_cast<std::ptrdiff_t>(statuses.size())) return cli::kOk;
  return count(sweep::RunState::kDone) > 0 ? cli::kSomeFailed : cli::kFailed;
}

int run(const Arguments& arguments) {
  const sweep::Plan plan = arguments.plan();
  std::vector<sweep::Run> runs = sweep::runs_of(plan);
  const std::vector<sweep::Stage> stages = sweep::parse_stages(arguments.stages);
  const bool embeds = stages.back() != sweep::Stage::kPretrain;
  if (arguments.slurm) {
    if (embeds) tasks_of(plan);  // now rather than in every task
    print_slurm_script(arguments, runs.size());
    return cli::kOk;
  }
  if (arguments.list) {
    list_runs(plan, runs);
    return cli::kOk;
  }
  if (arguments.cell >= static_cast<int>(runs.size())) {
    throw UsageError(str("--cell ", arguments.cell, ": there are ", runs.size(), " runs, counted from 0"));
  }
  if (arguments.cell >= 0) runs = {runs[static_cast<std::size_t>(arguments.cell)]};

  sweep::SchedulerOptions options;
  options.stages = stages;
  options.gpus = gpus();
  options.jobs = arguments.jobs > 0 ? arguments.jobs : std::max(1, static_cast<int>(options.gpus.size()));
  options.context.programs = program_folder();
  const bool evaluates = options.stages.back() == sweep::Stage::kEvaluate;
  if (embeds) options.context.tasks = tasks_of(plan);
  if (options.jobs > 1) options.context.evaluation_jobs = options.threads = std::max(1, allowed_cores() / options.jobs);
  options.stop = &cli::stop_on_signal();
  std::vector<sweep::RunStatus> statuses;
  {
    cli::SweepProgress progress(plan, runs);
    options.progress = [&](const std::vector<sweep::RunStatus>& changed) { progress(changed); };
    statuses = sweep::run_sweep(plan, runs, options);
  }
  const cli::ExitCode code = exit_code(statuses);
  const bool some_done = code == cli::kOk || code == cli::kSomeFailed;
  if (evaluates && arguments.cell < 0 && some_done) cli::show_report(table_of(plan), plan.output / "report");
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (statuses[i].state != sweep::RunState::kFailed) continue;
    log::error(str("failed: ", plan.cells[runs[i].cell].name, " seed ", runs[i].seed, ": ", statuses[i].error));
  }
  return code;
}

void add_plan_options(CLI::App& app, Arguments& arguments) {
  app.add_option("-c,--config", arguments.config, "YAML file of the sweep (docs/sweeps.md)")->type_name("FILE");
  app.add_option("overrides", arguments.assignments,
                 "sweep.key=value, hear.key=value, or section.key=value for every cell; stronger than the file")
      ->type_name("KEY=VALUE");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Pre-trains, embeds and evaluates every cell of a sweep and prints their table; what is done is not done again.\n"
      "Example: sweep --config configs/ablation/table5_quick.yaml\n"
      "Exits with 3 if some runs failed or are being worked on elsewhere."};
  Arguments arguments;
  add_plan_options(app, arguments);
  app.add_option("--stages", arguments.stages, "Which ones; machines may differ, given the folder cells/")
      ->capture_default_str();
  app.add_option("--jobs", arguments.jobs, "Runs at once, each on one GPU if there are any")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [one per GPU, else 1]");
  app.add_option("--cell", arguments.cell, "This run only, as --list numbers them")->check(CLI::Range(0, 1'000'000));
  app.add_flag("--list", arguments.list, "Print the runs and exit");
  app.add_flag("--slurm", arguments.slurm, "Print a batch script with an array task for each run, and exit");
  cli::add_common_flags(app);
  Arguments report;
  CLI::App& report_app = *app.add_subcommand("report",
                                             "Scores of the sweep so far → its table.\n"
                                             "Example: sweep report --config configs/ablation/table5.yaml");
  add_plan_options(report_app, report);
  report_app.add_option("-o,--output", report.report_output,
                        "Write report.md, .tex, .csv and .html here instead of <sweep.output>/report");
  return cli::run(app, argc, argv, [&]() -> int {
    if (report_app.parsed() && report.config.empty()) {  // `sweep --config FILE report` is meant as it reads
      report.config = arguments.config;
      report.assignments.insert(report.assignments.begin(), arguments.assignments.begin(), arguments.assignments.end());
    }
    if ((report_app.parsed() ? report : arguments).config.empty()) {
      throw UsageError("sweep: give --config FILE; see --help");
    }
    if (!report_app.parsed()) return run(arguments);
    const sweep::Plan plan = report.plan();
    cli::show_report(table_of(plan), report.report_output.empty() ? plan.output / "report" : report.report_output);
    return cli::kOk;
  });
}
