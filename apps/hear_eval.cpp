// hear-eval: embeddings of HEAR tasks → scores of the official downstream models → tables.
#include <map>

#include "axlstm/core/error.h"
#include "axlstm/train/trainer.h"
#include "cli.h"
#include "evaluate.h"
#include "report.h"

namespace {

using namespace axlstm;

void add_evaluate_options(CLI::App& app, cli::EvaluateArguments& arguments, train::DeviceChoice& device) {
  const std::map<std::string, train::DeviceChoice> devices{{"cpu", train::DeviceChoice::kCpu},
                                                           {"cuda", train::DeviceChoice::kCuda}};
  app.add_option("embeddings", arguments.inputs, "Embedding folders of tasks, or folders of such")->type_name("DIR");
  app.add_option("-o,--output", arguments.output,
                 "Write to <output>/<model>_<seed>/<task>; without it beside the embeddings, one seed only");
  app.add_option("--grid", arguments.runner.grid,
                 "Hyper-parameters: released (the paper's two points), default, fast or faster (HEAR's)")
      ->capture_default_str();
  app.add_option("--grid-points", arguments.runner.max_grid_points, "Points of the shuffled grid to try")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", arguments.first_seed, "First seed: of initialisation, dropout and grid order")
      ->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "Number of seeds; the paper has 10")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--jobs", arguments.jobs, "Tasks and seeds at once")
      ->check(CLI::PositiveNumber)
      ->option_text("N [one per core; 4 on a GPU]");
  app.add_option("--threads", arguments.runner.threads, "CPU threads of each; 1 gives the official kit's digits")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--device", device, "Where to compute")
      ->transform(CLI::CheckedTransformer(devices))
      ->option_text("cpu|cuda [cpu]");
}

void add_report_options(CLI::App& app, cli::ReportArguments& arguments) {
  app.add_option("scores", arguments.inputs, "Folders that hear-eval (or the official runner) wrote scores to")
      ->required()
      ->type_name("DIR");
  app.add_option("-o,--output", arguments.output, "Also write report.md, .tex, .csv and .html to this folder");
  app.add_flag("--mix-grids", arguments.mix_grids, "Put scores of different hyper-parameter grids into one table");
  app.add_flag("--no-published", arguments.no_published, "Leave out the rows of the paper's Table 2");
  app.add_option("--published", arguments.published, "Published rows to show instead, in the form of table2.csv");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Trains and tests HEAR's downstream models on embeddings in the official layout (as `extract` writes them for a\n"
      "task) and writes test.predicted-scores.json. Example: hear-eval --seeds 10 --output scores embeddings/tiny\n"
      "What is finished is not computed again. Exits with 3 if some tasks could not be evaluated."};
  cli::EvaluateArguments evaluate;
  train::DeviceChoice device = train::DeviceChoice::kCpu;
  add_evaluate_options(app, evaluate, device);
  cli::add_common_flags(app);
  cli::ReportArguments report;
  CLI::App& report_app = *app.add_subcommand("report",
                                             "Scores → the paper's table with intervals over seeds.\n"
                                             "Example: hear-eval report --output report scores");
  add_report_options(report_app, report);
  return cli::run(app, argc, argv, [&]() -> int {
    if (report_app.parsed()) return cli::report(report);
    if (evaluate.inputs.empty()) throw UsageError("hear-eval: give folders of embeddings, or `report`; see --help");
    config::RunConfig platform;
    platform.train.device = device;
    cli::log_banner("hear-eval", platform);
    evaluate.runner.device = train::choose_device(device);
    return cli::evaluate(evaluate);
  });
}
