#include "hear_eval_options.h"

#include "axlstm/core/error.h"

namespace axlstm::cli {

const CLI::App& add_evaluation_options(CLI::App& app, EvaluationArguments& main) {
  auto& arguments = main.evaluate;
  app.add_option(
         "embeddings", main.inputs,
         "Embedding folders of tasks, or folders that hold such; with --config: hear.key=value, stronger than the file")
      ->type_name("DIR");
  app.add_option("-c,--config", main.config_file,
                 "YAML file that names models and tasks: embeds, evaluates and reports (docs/config.md)")
      ->type_name("FILE");
  auto& options = *app.add_option_group("Without --config");
  options.add_option("-o,--output", arguments.output,
                     "Write to <output>/<model>_<seed>/<task>; without it beside the embeddings, one seed only");
  options
      .add_option("--grid", arguments.evaluations.grid,
                  "Hyper-parameters: released (the paper's two points), default, fast or faster (HEAR's)")
      ->capture_default_str();
  options
      .add_option("--grid-points", arguments.evaluations.max_grid_points,
                  "Number of points of the shuffled grid that are tried")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text(str("N [", arguments.evaluations.max_grid_points, "]"));
  options.add_option("--seed", arguments.first_seed, "First seed (initialisation, dropout and order of the grid)")
      ->capture_default_str();
  options.add_option("--seeds", arguments.seeds, "Number of seeds; the paper has 10")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [1]");
  options.add_option("--jobs", arguments.jobs, "Tasks and seeds that are evaluated at once")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [one per core; 4 for each GPU]");
  options
      .add_option("--threads", arguments.evaluations.threads,
                  "CPU threads of each job; 1 gives the official kit's digits")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N [1]");
  options.add_option("--device", main.device, "Where to compute; cuda: on all GPUs that are visible")
      ->transform(one_of<runtime::DeviceChoice>())
      ->option_text(choices(main.device));
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

}  // namespace axlstm::cli
