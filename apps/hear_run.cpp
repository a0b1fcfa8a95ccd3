#include "hear_run.h"

#include <set>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/hear/task.h"
#include "axlstm/train/trainer.h"
#include "cli.h"
#include "embed_tasks.h"
#include "evaluate.h"
#include "models.h"
#include "report.h"

namespace axlstm::cli {
namespace {

namespace fs = std::filesystem;

struct NamedModel {
  std::string name, checkpoint;
};

/// "name=checkpoint", or the name from the checkpoint's last folder, "random:x/tiny.yaml" being called random-tiny.
NamedModel parse_model(const std::string& text) {
  const std::size_t equals = text.find('=');
  NamedModel model{text.substr(0, equals == std::string::npos ? 0 : equals), text.substr(equals + 1)};
  if (equals == std::string::npos) {
    const std::size_t colon = text.find(':');
    const fs::path path = (fs::path(text.substr(colon + 1)) / "").parent_path();  // "runs/tiny/" has a name too
    model = {colon == std::string::npos ? path.filename().string() : "random-" + path.stem().string(), text};
  }
  if (model.name.empty() || model.name.find('/') != std::string::npos || model.name == "." || model.name == "..") {
    throw UsageError("hear.models: '" + text + "' has no usable name; write name=" + model.checkpoint);
  }
  return model;
}

std::vector<NamedModel> parse_models(const std::vector<std::string>& texts) {
  std::vector<NamedModel> models;
  std::set<std::string> names;
  for (const std::string& text : texts) {
    models.push_back(parse_model(text));
    if (!names.insert(models.back().name).second) {
      throw UsageError("hear.models: two models are called '" + models.back().name + "'; write name=checkpoint");
    }
  }
  return models;
}

ModelArguments model_arguments(const NamedModel& model, const config::HearConfig& config) {
  ModelArguments arguments;
  arguments.name = model.checkpoint;
  arguments.device = config.extract_device;
  if (model.checkpoint == "naive") return arguments;  // has no layout
  if (config.layout == hear::LayoutChoice::kTimeFrequency) arguments.layout = hear::EmbeddingLayout::kTimeFrequency;
  if (config.layout == hear::LayoutChoice::kReleased) arguments.layout = hear::EmbeddingLayout::kReleased;
  return arguments;
}

/// The folders of the embeddings that are there in the end.
std::vector<fs::path> embed(const std::vector<NamedModel>& models, const std::vector<fs::path>& tasks,
                            const config::HearConfig& config) {
  std::vector<fs::path> embedded;
  for (const NamedModel& model : models) {
    hear::ExtractionOptions options;
    options.output_dir = fs::path(expand_home(config.output)) / "embeddings" / model.name;
    options.batch_seconds = config.batch_seconds;
    options.per_file = config.per_file;
    options.resample = config.resample || model.checkpoint == "naive";  // defined at 44.1 kHz
    for (const fs::path& task : embed_tasks(model_arguments(model, config), tasks, options)) {
      embedded.push_back(options.output_dir / task.filename());
    }
  }
  return embedded;
}

}  // namespace

ExitCode run_hear(const config::HearConfig& config) {
  const std::vector<NamedModel> models = parse_models(config.models);
  const std::vector<fs::path> tasks = hear::find_all_tasks(config.tasks, "hear.tasks");
  const fs::path output = expand_home(config.output);
  log_banner("hear-eval", config.extract_device);
  EvaluateArguments arguments;
  arguments.inputs = embed(models, tasks, config);
  if (arguments.inputs.empty()) return kFailed;
  const bool all_embedded = arguments.inputs.size() == models.size() * tasks.size();
  arguments.output = output / "scores";
  arguments.first_seed = static_cast<std::uint64_t>(config.first_seed);
  arguments.seeds = static_cast<int>(config.seeds);
  arguments.jobs = static_cast<int>(config.jobs);
  arguments.runner.grid = config.grid;
  arguments.runner.max_grid_points = static_cast<int>(config.grid_points);
  arguments.runner.threads = static_cast<int>(config.threads);
  arguments.runner.devices = train::choose_devices(config.device);
  const ExitCode evaluated = evaluate(arguments);
  if (evaluated == kFailed || evaluated == kInterrupted) return evaluated;

  ReportArguments report_arguments;
  report_arguments.inputs = {arguments.output};
  report_arguments.output = output / "report";
  report_arguments.no_published = !config.published;
  report_arguments.mix_grids = config.mix_grids;
  report(report_arguments);
  return all_embedded ? evaluated : kSomeFailed;
}

}  // namespace axlstm::cli
