// hear-eval: embeddings of HEAR tasks → scores of the official downstream models → tables.
#include "axlstm/config/hear_schema.h"
#include "axlstm/core/error.h"
#include "axlstm/runtime/device.h"
#include "axlstm/suite/suite.h"
#include "hear_eval_options.h"

using namespace axlstm;

int main(int argc, char** argv) {
  CLI::App app{
      "Trains and tests HEAR's downstream models on embeddings in the official layout (as `extract` writes them for a\n"
      "task) and writes test.predicted-scores.json. Example: hear-eval --seeds 10 --output scores embeddings/tiny\n"
      "or, from audio to the paper's table, hear-eval --config configs/hear/paper.yaml hear.tasks=~/hear/tasks\n"
      "What is finished is not computed again. Exits with 3 if some tasks could not be evaluated."};
  cli::EvaluationArguments arguments;
  const CLI::App& options = cli::add_evaluation_options(app, arguments);
  cli::add_common_flags(app);
  report::ReportArguments report;
  CLI::App& report_app = *app.add_subcommand("report",
                                             "Scores → the paper's table with intervals over seeds.\n"
                                             "Example: hear-eval report --output report scores");
  cli::add_report_options(report_app, report);
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
    arguments.evaluate.evaluations.devices = runtime::choose_devices(arguments.device);
    arguments.evaluate.evaluations.stop = &cli::stop_on_signal();
    return suite::evaluate(arguments.evaluate);
  });
}
