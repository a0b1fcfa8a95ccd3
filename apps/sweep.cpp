// sweep: a base configuration × cells × seeds → pretrain, extract, hear-eval and finetune for each → one table.
#include "axlstm/sweep/sweep.h"

#include <iostream>

#include "axlstm/core/error.h"
#include "axlstm/model/encoder.h"
#include "axlstm/objective/objective.h"
#include "cli.h"

namespace {

using namespace axlstm;

void add_plan_options(CLI::App& app, sweep::SweepArguments& arguments) {
  app.add_option("-c,--config", arguments.config, "YAML file of the sweep (docs/sweeps.md)")->type_name("FILE");
  app.add_option("overrides", arguments.assignments,
                 "sweep.key=value, hear.key=value, finetune.key=value, finetune.set.section.key=value, or "
                 "section.key=value for every cell; stronger than the file")
      ->type_name("KEY=VALUE");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Pre-trains, embeds, evaluates and fine-tunes every cell of a sweep and prints the table; what is finished is "
      "not repeated.\n"
      "Example: sweep --config configs/ablation/table5_quick.yaml\n"
      "Exits with 3 if some runs failed or are being worked on elsewhere."};
  sweep::SweepArguments arguments;
  bool list = false, slurm = false;
  std::filesystem::path report_output;
  add_plan_options(app, arguments);
  app.add_option(
         "--stages", arguments.stages,
         "Stages to run, of pretrain, extract, hear-eval and finetune; each may run on another machine that has "
         "the folder cells/")
      ->option_text("LIST [all that the file has tasks for]");
  app.add_option("--jobs", arguments.jobs, "Number of runs at once, each on one GPU if there are any")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [one per GPU, else 1]");
  app.add_option("--cell", arguments.cell, "Only this run; the number is that of --list")
      ->check(CLI::Range(0, 1'000'000))
      ->option_text("N");
  app.add_flag("--list", list, "Print the runs and exit");
  app.add_flag("--slurm", slurm, "Print a batch script with an array task for each run, and exit");
  cli::add_common_flags(app);
  sweep::SweepArguments report;
  CLI::App& report_app = *app.add_subcommand("report",
                                             "Scores of the sweep so far → its table.\n"
                                             "Example: sweep report --config configs/ablation/table5.yaml");
  add_plan_options(report_app, report);
  report_app.add_option("-o,--output", report_output,
                        "Write report.md, .tex, .csv and .html here instead of <sweep.output>/report");
  return cli::run(app, argc, argv, [&]() -> int {
    if (report_app.parsed() && report.config.empty()) {  // `sweep --config FILE report` is meant as it reads
      report.config = arguments.config;
      report.assignments.insert(report.assignments.begin(), arguments.assignments.begin(), arguments.assignments.end());
    }
    if ((report_app.parsed() ? report : arguments).config.empty()) {
      throw UsageError("sweep: give --config FILE; see --help");
    }
    auto& chosen = report_app.parsed() ? report : arguments;
    chosen.parameters = [](const config::RunConfig& config) {
      return model::parameter_count(objective::make_objective(config)->module());
    };
    const sweep::Sweep sweep(chosen);
    if (!report_app.parsed() && !list && !slurm) return sweep.run(cli::stop_on_signal());
    if (report_app.parsed()) {
      sweep.show_table(report_output);
    } else {
      std::cout << (slurm ? sweep.slurm_script() : sweep.list());
    }
    return kOk;
  });
}
