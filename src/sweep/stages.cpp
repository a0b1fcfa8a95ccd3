#include "axlstm/sweep/stages.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "core/json.h"

namespace axlstm::sweep {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kConfiguration = "sweep.yaml";
constexpr const char* kFineTuning = "finetune.yaml";

fs::path note_of(const Run& run, Stage stage) { return run.folder / str(enum_name(stage), ".done"); }

config::RunConfig configuration(const Plan& plan, const Run& run) {
  config::RunConfig config = plan.cells[run.cell].config;
  config.train.run_dir = run.folder.string();
  config.train.seed = run.seed;
  return config;
}

std::vector<std::string> extract_command(const Plan& plan, const Run& run, const std::string& layout,
                                         const StageContext& context) {
  const CellModel kind = plan.cells[run.cell].model;
  const config::HearConfig& hear = plan.hear;
  std::vector<std::string> command{(context.programs / "extract").string(), "--model"};
  if (kind == CellModel::kNaive) command.emplace_back("naive");
  if (kind == CellModel::kTrained) command.push_back(run.folder.string());
  if (kind == CellModel::kUntrained) {
    command.push_back("random:" + (run.folder / kConfiguration).string());
    command.insert(command.end(), {"--seed", std::to_string(run.seed)});
  }
  command.insert(command.end(),
                 {"--output", (plan.output / "embeddings" / embedding_name(plan, run, layout)).string(), "--device",
                  enum_name(hear.extract_device), "--batch-seconds", str(hear.batch_seconds)});
  if (!layout.empty()) command.insert(command.end(), {"--layout", layout});
  if (hear.resample) command.emplace_back("--resample");
  if (!hear.per_file) command.emplace_back("--no-per-file");
  for (const fs::path& task : context.tasks) command.push_back(task.string());
  return command;
}

std::vector<std::string> evaluate_command(const Plan& plan, const Run& run, const std::string& layout,
                                          const StageContext& context) {
  const config::HearConfig& hear = plan.hear;
  std::vector<std::string> command{(context.programs / "hear-eval").string(),
                                   "--output",
                                   (plan.output / "scores").string(),
                                   "--grid",
                                   hear.grid,
                                   "--grid-points",
                                   std::to_string(hear.grid_points),
                                   "--seed",
                                   std::to_string(hear.first_seed),
                                   "--seeds",
                                   std::to_string(hear.seeds),
                                   "--threads",
                                   std::to_string(hear.threads),
                                   "--device",
                                   enum_name(hear.device)};
  const std::int64_t jobs = hear.jobs > 0 ? hear.jobs : context.evaluation_jobs;
  if (jobs > 0) command.insert(command.end(), {"--jobs", std::to_string(jobs)});
  const fs::path embeddings = plan.output / "embeddings" / embedding_name(plan, run, layout);
  for (const fs::path& task : context.tasks) command.push_back((embeddings / task.filename()).string());
  return command;
}

/// The checkpoint of the highest step. Fine-tuning names it, so that it does not go on from an encoder that was trained
/// further in the meantime. Throws Error if there is none.
fs::path newest_checkpoint(const Run& run) {
  constexpr std::string_view kPrefix = "step-";
  std::pair<std::size_t, std::string> newest;  // steps have at least eight digits
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run.folder / "checkpoints", none)) {
    const std::string name = entry.path().filename().string();
    const bool numbered =
        name.starts_with(kPrefix) && name.find_first_not_of("0123456789", kPrefix.size()) == std::string::npos;
    if (numbered && entry.is_directory()) newest = std::max(newest, {name.size(), name});
  }
  AXLSTM_CHECK(!newest.second.empty(), run.folder.string(),
               ": has no checkpoint to fine-tune; pre-train it again, or copy checkpoints/ from where that was done");
  return run.folder / "checkpoints" / newest.second;
}

std::vector<std::vector<std::string>> finetune_commands(const Plan& plan, const Run& run, const StageContext& context) {
  std::vector<std::vector<std::string>> commands;
  for (std::int64_t seed = 0; seed < plan.finetuning.seeds; ++seed) {
    for (const fs::path& task : context.finetuning_tasks) {
      const fs::path folder = finetuning_folder(plan, run, seed, task.filename().string());
      std::vector<std::string> command{(context.programs / "finetune").string(),
                                       "--config",
                                       (run.folder / kFineTuning).string(),
                                       "data.task=" + task.string(),
                                       str("train.seed=", seed),
                                       "train.run_dir=" + folder.string()};
      if (plan.cells[run.cell].model == CellModel::kTrained)
        command.push_back("classification.encoder=" + newest_checkpoint(run).string());
      commands.push_back(std::move(command));
    }
  }
  return commands;
}

/// What decides the outcome of a stage, to compare with its note.
json outcome(const Plan& plan, const Run& run, Stage stage, const StageContext& context) {
  if (stage == Stage::kPretrain) return {{"max_steps", plan.cells[run.cell].config.train.max_steps}};
  json commands = json::array();
  for (const auto& command : commands_of(plan, run, stage, context)) {
    json arguments = json::array();
    for (std::size_t i = 1; i < command.size(); ++i) {  // where the program lies, and how many jobs, change nothing
      if (command[i] == "--jobs") {
        ++i;
      } else {
        arguments.push_back(command[i]);
      }
    }
    commands.push_back(arguments);
  }
  if (stage == Stage::kFinetune)
    return {{"commands", commands}, {"recipe", config::dump(plan.cells[run.cell].finetuning)}};
  return {{"commands", commands}};
}

}  // namespace

std::vector<Stage> parse_stages(const std::string& list) {
  std::vector<Stage> stages;
  std::string rest = list + ",";
  for (std::size_t comma = rest.find(','); comma != std::string::npos; comma = rest.find(',')) {
    const std::string name = rest.substr(0, comma);
    rest.erase(0, comma + 1);
    const std::optional<Stage> stage = enum_of<Stage>(name);
    if (!stage) throw UsageError("--stages: '" + name + "' is none of " + list_names<Stage>());
    if (std::find(stages.begin(), stages.end(), *stage) == stages.end()) stages.push_back(*stage);
  }
  std::sort(stages.begin(), stages.end());
  return stages;
}

bool applies(const Plan& plan, const Run& run, Stage stage) {
  const CellModel model = plan.cells[run.cell].model;
  if (stage == Stage::kFinetune) return model != CellModel::kNaive;
  return stage != Stage::kPretrain || model == CellModel::kTrained;
}

std::vector<std::vector<std::string>> commands_of(const Plan& plan, const Run& run, Stage stage,
                                                  const StageContext& context) {
  if (stage == Stage::kPretrain) {
    return {{(context.programs / "pretrain").string(), "--config", (run.folder / kConfiguration).string()}};
  }
  if (stage == Stage::kFinetune) return finetune_commands(plan, run, context);
  std::vector<std::vector<std::string>> commands;
  for (const std::string& layout : layouts_of(plan, plan.cells[run.cell])) {
    commands.push_back(stage == Stage::kExtract ? extract_command(plan, run, layout, context)
                                                : evaluate_command(plan, run, layout, context));
  }
  return commands;
}

void write_configuration(const Plan& plan, const Run& run) {
  fs::create_directories(run.folder);
  if (plan.cells[run.cell].model == CellModel::kNaive) return;
  write_file_atomic(run.folder / kConfiguration, config::dump(configuration(plan, run)));
  if (!plan.finetuning.tasks.empty())
    write_file_atomic(run.folder / kFineTuning, config::dump(plan.cells[run.cell].finetuning));
}

std::vector<fs::path> locks_of(const Plan& plan, const Run& run) {
  constexpr const char* kLock = ".lock";
  std::vector<fs::path> locks{run.folder / kLock};
  for (std::int64_t seed = 0; seed < plan.finetuning.seeds; ++seed) {
    std::error_code none;
    for (const auto& entry : fs::recursive_directory_iterator(finetuning_folder(plan, run, seed, ""), none))
      if (entry.path().filename() == kLock) locks.push_back(entry.path());
  }
  return locks;
}

bool is_pretrained(const Run& run) { return fs::exists(note_of(run, Stage::kPretrain)); }

bool is_done(const Plan& plan, const Run& run, Stage stage, const StageContext& context) {
  const fs::path note = note_of(run, stage);
  if (!fs::exists(note)) return false;
  const fs::path stored = run.folder / "config.yaml";
  if (stage == Stage::kPretrain && fs::exists(stored)) {
    std::string changed;
    for (const auto& key : config::changed_keys(read_file(stored), config::dump(configuration(plan, run)))) {
      changed += (changed.empty() ? "" : ", ") + key;
    }
    if (!changed.empty()) {
      throw UsageError(str(run.folder.string(), " holds a run with other values of ", changed,
                           "; give the old ones, remove the folder, or choose another sweep.output"));
    }
  }
  const auto found = try_parse_json(read_file(note));
  const json wanted = outcome(plan, run, stage, context);
  return found && found->is_object() && found->contains("of") && found->at("of") == wanted;
}

void mark_done(const Plan& plan, const Run& run, Stage stage, const StageContext& context, double seconds) {
  if (stage == Stage::kPretrain)
    for (const Stage later : {Stage::kExtract, Stage::kEvaluate, Stage::kFinetune}) fs::remove(note_of(run, later));
  if (stage == Stage::kExtract) fs::remove(note_of(run, Stage::kEvaluate));
  const json note{{"of", outcome(plan, run, stage, context)}, {"seconds", seconds}};
  write_file_atomic(note_of(run, stage), note.dump(2) + "\n");
}

}  // namespace axlstm::sweep
