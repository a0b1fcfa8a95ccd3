// hear-eval: embeddings of HEAR tasks → scores of the official downstream models → tables.
#include "axlstm/config/hear_schema.h"
#include "axlstm/core/error.h"
#include "axlstm/report/show.h"
#include "axlstm/runtime/device.h"
#include "axlstm/suite/evaluate.h"
#include "axlstm/suite/suite.h"
#include "cli.h"

namespace {

using namespace axlstm;

/// Everything that is not for `report`.
struct MainArguments {
  std::vector<std::string> inputs;  ///< folders, or with --config assignments
  std::string config_file;
  suite::EvaluateArguments evaluate;
  runtime::DeviceChoice device = runtime::DeviceChoice::kCpu;
};

/// Returns the group of the options that do not go with --config.
const CLI::App& add_main_options(CLI::App& app, MainArguments& main) {
  auto& arguments = main.evaluate;
  app.add_option(
         "embeddings", main.inputs,
         "Embedding folders of tasks, or folders of such; with --config: hear.key=value, stronger than the file")
      ->type_name("DIR");
  app.add_option("-c,--config", main.config_file,
                 "YAML file that names models and tasks: embeds, evaluates and reports (docs/config.md)")
      ->type_name("FILE");
  auto& options = *app.add_option_group("Without --config");
  options.add_option("-o,--output", arguments.output,
                     "Write to <output>/<model>_<seed>/<task>; without it beside the embeddings, one seed only");
  options
      .add_option("--grid", arguments.runner.grid,
                  "Hyper-parameters: released (the paper's two points), default, fast or faster (HEAR's)")
      ->capture_default_str();
  options.add_option("--grid-points", arguments.runner.max_grid_points, "Points of the shuffled grid to try")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text(str("N [", arguments.runner.max_grid_points, "]"));
  options.add_option("--seed", arguments.first_seed, "First seed: of initialisation, dropout and grid order")
      ->capture_default_str();
  options.add_option("--seeds", arguments.seeds, "Number of seeds; the paper has 10")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [1]");
  options.add_option("--jobs", arguments.jobs, "Tasks and seeds at once")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [one per core; 4 for each GPU]");
  options.add_option("--threads", arguments.runner.threads, "CPU threads of each; 1 gives the official kit's digits")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [1]");
  options.add_option("--device", main.device, "Where to compute; cuda: on all GPUs that are visible")
      ->transform(cli::one_of<runtime::DeviceChoice>())
      ->option_text(cli::choices(main.device));
  return options;
}

void add_report_options(CLI::App& app, report::ReportArguments& arguments) {
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
      "or, from audio to the paper's table, hear-eval --config configs/hear/paper.yaml hear.tasks=~/hear/tasks\n"
      "What is finished is not computed again. Exits with 3 if some tasks could not be evaluated."};
  MainArguments arguments;
  const CLI::App& options = add_main_options(app, arguments);
  cli::add_common_flags(app);
  report::ReportArguments report;
  CLI::App& report_app = *app.add_subcommand("report",
                                             "Scores → the paper's table with intervals over seeds.\n"
                                             "Example: hear-eval report --output report scores");
  add_report_options(report_app, report);
  return cli::run(app, argc, argv, [&]() -> int {
    if (report_app.parsed()) {
      cli::refuse_given(options, "says nothing to `report`; its own options come behind the word");
      report::report_scores(report);
      return kOk;
    }
    if (!arguments.config_file.empty()) {
      cli::refuse_given(options, "cannot be given with --config; set the key as hear.key=value");
      config::Node root = config::load(arguments.config_file);
      for (const std::string& assignment : arguments.inputs) config::apply_override(root, assignment);
      const config::HearConfig config = config::read_hear(root);
      suite::Suite suite(config);
      cli::log_banner("hear-eval", config.extract_device);
      suite.embed();
      return suite.evaluate(cli::stop_on_signal());
    }
    if (arguments.inputs.empty()) {
      throw UsageError("hear-eval: give folders of embeddings, --config or `report`; see --help");
    }
    cli::log_banner("hear-eval", arguments.device);
    arguments.evaluate.inputs.assign(arguments.inputs.begin(), arguments.inputs.end());
    arguments.evaluate.runner.devices = runtime::choose_devices(arguments.device);
    arguments.evaluate.runner.stop = &cli::stop_on_signal();
    return suite::evaluate(arguments.evaluate);
  });
}
