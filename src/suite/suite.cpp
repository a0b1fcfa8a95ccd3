#include "axlstm/suite/suite.h"

#include <set>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/embed/embed_tasks.h"
#include "axlstm/embed/open.h"
#include "axlstm/hear/task.h"
#include "axlstm/report/show.h"
#include "axlstm/runtime/arithmetic.h"
#include "axlstm/runtime/device.h"
#include "axlstm/suite/evaluate.h"

namespace axlstm::suite {
namespace {

namespace fs = std::filesystem;

embed::ModelArguments model_arguments(const std::string& checkpoint, const config::HearConfig& config) {
  embed::ModelArguments arguments;
  arguments.name = checkpoint;
  arguments.device = config.extract_device;
  arguments.precision = config.precision;
  if (!embed::has_layout(checkpoint)) return arguments;
  if (config.layout == embed::LayoutChoice::kTimeFrequency) arguments.layout = embed::EmbeddingLayout::kTimeFrequency;
  if (config.layout == embed::LayoutChoice::kReleased) arguments.layout = embed::EmbeddingLayout::kReleased;
  return arguments;
}

}  // namespace

Suite::Suite(const config::HearConfig& config)
    : config_(config),
      models_(parse_models(config.models)),
      tasks_(hear::find_all_tasks(config.tasks, "hear.tasks")),
      output_(expand_home(config.output)) {}

/// "name=checkpoint", or the name from the checkpoint's last folder, "random:x/tiny.yaml" being called random-tiny.
Suite::NamedModel Suite::parse_model(const std::string& text) {
  const std::size_t equals = text.find('=');
  NamedModel model{text.substr(0, equals == std::string::npos ? 0 : equals), text.substr(equals + 1)};
  if (equals == std::string::npos) {
    const std::size_t colon = text.find(':') < text.find('/') ? text.find(':') : std::string::npos;
    const fs::path path = (fs::path(text.substr(colon + 1)) / "").parent_path();  // "runs/tiny/" has a name too
    model = {colon == std::string::npos ? path.filename().string() : text.substr(0, colon) + "-" + path.stem().string(),
             text};
  }
  if (model.name.empty() || model.name.find('/') != std::string::npos || model.name == "." || model.name == "..") {
    throw UsageError("hear.models: '" + text + "' has no usable name; write name=" + model.checkpoint);
  }
  return model;
}

std::vector<Suite::NamedModel> Suite::parse_models(const std::vector<std::string>& texts) {
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

void Suite::embed() {
  embedded_.clear();
  for (const NamedModel& model : models_) {
    embed::ExtractionOptions options;
    options.output_dir = output_ / "embeddings" / model.name;
    options.batch_seconds = config_.batch_seconds;
    options.per_file = config_.per_file;
    options.resample = config_.resample;
    for (const fs::path& task : embed::embed_tasks(model_arguments(model.checkpoint, config_), tasks_, options)) {
      embedded_.push_back(options.output_dir / task.filename());
    }
  }
}

ExitCode Suite::evaluate(const std::atomic<bool>& stop) const {
  if (embedded_.empty()) return kFailed;
  EvaluateArguments arguments;
  arguments.inputs = embedded_;
  const bool all_embedded = arguments.inputs.size() == models_.size() * tasks_.size();
  arguments.output = output_ / "scores";
  arguments.first_seed = static_cast<std::uint64_t>(config_.first_seed);
  arguments.seeds = static_cast<int>(config_.seeds);
  arguments.jobs = static_cast<int>(config_.jobs);
  arguments.evaluations.grid = config_.grid;
  arguments.evaluations.max_grid_points = static_cast<int>(config_.grid_points);
  arguments.evaluations.threads = static_cast<int>(config_.threads);
  arguments.evaluations.stop = &stop;
  arguments.evaluations.devices = runtime::choose_devices(config_.device);
  runtime::set_float32_arithmetic(runtime::Precision::kFp32);  // hear.precision is that of embeddings alone
  const ExitCode evaluated = suite::evaluate(arguments);
  if (evaluated == kFailed || evaluated == kInterrupted) return evaluated;

  report::ReportArguments report_arguments;
  report_arguments.inputs = {arguments.output};
  report_arguments.output = output_ / "report";
  report_arguments.no_published = !config_.published;
  report_arguments.mix_grids = config_.mix_grids;
  report::report_scores(report_arguments);
  return all_embedded ? evaluated : kSomeFailed;
}

}  // namespace axlstm::suite
