#include "axlstm/suite/finetuning.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/zero_padded.h"
#include "axlstm/data/lists/task_clips.h"
#include "axlstm/hear/task.h"
#include "axlstm/launch/rank.h"
#include "axlstm/metrics/classification.h"
#include "axlstm/objective/classification.h"
#include "axlstm/runtime/device.h"
#include "axlstm/suite/training.h"
#include "axlstm/train/evaluation.h"
#include "core/json.h"

namespace axlstm::suite {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTestFile = "test.json";
constexpr const char* kScoresFile = "scores.json";
constexpr const char* kTaskScore = "task_score";  // in both

config::Node text_node(const std::string& text) {
  config::Node node;
  node.kind = config::Node::Kind::kScalar;
  node.scalar = text;
  node.origin.source = "finetune";
  return node;
}

std::string text_of(const config::Node& root, const char* section, const char* key) {
  const config::Node* found = root.find(section);
  const config::Node* value = found ? found->find(key) : nullptr;
  return value && value->kind == config::Node::Kind::kScalar ? value->scalar : "";
}

/// The sections that an encoder gives, of a configuration that is stored with it.
config::Node encoder_sections(const std::string& yaml, const std::string& source) {
  const config::Node stored = config::parse(config::dump(config::read_stored(yaml, source)), source);
  config::Node sections;
  sections.kind = config::Node::Kind::kMap;
  for (const config::Entry& entry : stored.entries)
    if (entry.key == "model" || entry.key == "audio") sections.entries.push_back(entry);
  return sections;
}

/// The names of all classes, in order: those of the file, or those that the training clips have.
std::vector<std::string> find_classes(const config::RunConfig& config) {
  const auto& options = config.classification;
  if (!options.labels.empty()) return data::load_class_list(expand_home(options.labels)).names();
  const auto clips = data::open_clips(config.data, config.audio);
  std::vector<std::string> labels;
  for (std::int64_t clip = 0; clip < clips->size(); ++clip) {
    labels.push_back(clips->labels(clip));
    AXLSTM_CHECK(!labels.back().empty(), clips->id(clip),
                 ": has no label; give the list a column of labels (docs/data.md), or leave the clip out");
  }
  const bool exclusive = options.targets == objective::Targets::kMulticlass;
  auto names = data::classes_of(labels, exclusive);
  for (const std::string& name : names) {
    const std::string first = name.substr(0, name.find(','));
    need(!exclusive || first == name || !std::binary_search(names.begin(), names.end(), first),
         str("the label '", name, "' seems to be several, for '", first,
             "' is one too: set classification.targets=multilabel, or name the classes in classification.labels"));
  }
  need(names.size() > 1, str("all training clips have the label '", names.empty() ? "" : names.front(),
                             "'; two classes are needed at least"));
  return names;
}

/// Throws Error for a clip whose labels do not fit, also one that is only scored at the end: before anything is
/// written.
void check_labels(const config::RunConfig& config) {
  const auto classes = objective::class_list(config);
  const auto check = [&](const data::DataOptions& options) {
    train::classes_of_clips(*data::open_clips(options, config.audio), classes, config.classification.targets);
  };
  check(config.data);
  for (const auto part : {data::Part::kValidation, data::Part::kTest})
    if (data::has_held_out(config.data, part)) check(data::held_out_data(config.data, part));
}

/// The shape that a task asks for.
void take_from_task(config::RunConfig& config) {
  const fs::path task = expand_home(config.data.task);
  const auto metadata = hear::load_task_metadata(task);
  config.classification.targets = metadata.prediction_type == hear::PredictionType::kMulticlass
                                      ? objective::Targets::kMulticlass
                                      : objective::Targets::kMultilabel;
  if (config.classification.labels.empty() && config.head.classes.empty())
    config.head.classes = hear::load_label_vocabulary(task).labels();
}

nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

/// The score that a task names first, as `hear-eval` computes it; null, with a warning, for one that it does not know.
nlohmann::ordered_json task_score(const std::string& task, const train::Evaluation::Result& result) {
  const auto span = [](const torch::Tensor& table) {
    return std::span(table.const_data_ptr<float>(), static_cast<std::size_t>(table.numel()));
  };
  const std::string name = hear::load_task_metadata(expand_home(task)).evaluation.front();
  if (!metrics::is_score(name)) {
    log::warn(str(task, ": its score \"", name, "\" is not known here; the other scores are in ", kTestFile));
    return {};
  }
  const metrics::ScoredClips clips{span(result.probabilities), span(result.targets), result.targets.size(1)};
  return {{"name", name}, {"value", number(metrics::score(name, clips))}};
}

nlohmann::ordered_json to_json(const metrics::Interval& score) {
  return {{"value", number(score.value)}, {"low", number(score.low)}, {"high", number(score.high)}};
}

/// What the numbers of a test depend on beside the recipe of the run.
nlohmann::ordered_json test_of(const config::RunConfig& config, const fs::path& checkpoint) {
  const auto clips = data::open_clips(data::held_out_data(config.data, data::Part::kTest), config.audio);
  return {{"checkpoint", checkpoint.filename().string()},
          {"weights", config.train.ema_decay > 0 ? "ema" : "model"},
          {"clips_fingerprint", data::fingerprint(*clips, /*labels=*/true)},
          {"resamples", config.eval.resamples}};
}

/// Whether the run's test.json is of just this test.
bool is_tested(const config::RunConfig& config, const nlohmann::ordered_json& test) {
  const fs::path file = fs::path(config.train.run_dir) / kTestFile;
  const auto found = fs::exists(file) ? try_parse_json(read_file(file)) : std::nullopt;
  if (!found || !found->is_object() || (!config.data.task.empty() && !found->contains(kTaskScore))) return false;
  for (const auto& [key, value] : test.items())
    if (found->value(key, nlohmann::json()).dump() != value.dump()) return false;
  return true;
}

void test_best(const config::RunConfig& config) {
  const fs::path folder = checkpoints::best_checkpoint(config.train.run_dir);
  const fs::path file = fs::path(config.train.run_dir) / kTestFile;
  auto json = test_of(config, folder);
  if (is_tested(config, json)) return log::info("scored already: " + file.string());
  const runtime::Arithmetic arithmetic(config.train.precision, runtime::choose_device(config.train.device));
  objective::Classification objective(config);
  const auto saved = checkpoints::load_model(folder, config.train.ema_decay > 0);
  checkpoints::load_state_dict(objective.module(), saved.tensors, folder.string());
  objective.module().to(arithmetic.device);
  train::Evaluation evaluation(config, data::Part::kTest, objective);
  const auto result = evaluation.score(objective, arithmetic);
  const auto& scores = result.scores;
  json.update({{"clips", result.clips()},
               {"classes", config.head.outputs()},
               {"scored_classes", scores.scored_classes},
               {"loss", result.loss},
               {"mAP", to_json(scores.mAP)},
               {"AUC", to_json(scores.AUC)},
               {"d_prime", to_json(scores.d_prime)},
               {"accuracy", to_json(scores.accuracy)}});
  if (!config.data.task.empty()) json[kTaskScore] = task_score(config.data.task, result);
  write_file_atomic(file, json.dump(2) + "\n");
  std::ostringstream line;
  line << std::fixed << std::setprecision(3) << "test of " << folder.filename().string() << " on " << result.clips()
       << " clips: accuracy " << scores.accuracy.value << " (" << scores.accuracy.low << " – " << scores.accuracy.high
       << "), mAP " << scores.mAP.value << " (" << scores.mAP.low << " – " << scores.mAP.high << "), AUC "
       << scores.AUC.value << ", d' " << scores.d_prime.value;
  log::info(line.str());
}

}  // namespace

config::Node with_encoder(const config::Node& given) {
  config::Node root;
  root.kind = config::Node::Kind::kMap;
  const std::string name = text_of(given, "classification", "encoder");
  if (!name.empty()) {
    // A run that has begun holds all that it needs: the encoder's folder may be gone.
    const std::string run_dir = text_of(given, "train", "run_dir");
    const fs::path stored = expand_home(run_dir.empty() ? config::RunConfig().train.run_dir : run_dir) / "config.yaml";
    if (fs::exists(stored) && !fs::exists(expand_home(name))) {
      root = encoder_sections(read_file(stored), stored.string());
    } else {
      const auto saved = checkpoints::model_folder(expand_home(name));
      const fs::path yaml = saved / "config.yaml";
      root = encoder_sections(read_file(yaml), yaml.string());
    }
  }
  config::Node objective;
  objective.kind = config::Node::Kind::kMap;
  objective.entries.push_back({"name", text_node("classification")});
  root.entries.push_back({"objective", objective});
  config::merge(root, given);
  return root;
}

std::vector<config::RunConfig> fine_tunings(const config::RunConfig& config) {
  need(
      config.objective == objective::Kind::kClassification,
      str("objective.name is ", enum_name(config.objective), "; `finetune` trains classifiers, `pretrain` the others"));
  config::RunConfig resolved = config;
  std::vector<config::RunConfig> all;
  if (config.data.task.empty()) {
    if (resolved.head.classes.empty()) resolved.head.classes = find_classes(resolved);
    model::check_head(resolved.head, resolved.model);
    check_labels(resolved);
    return {resolved};
  }
  const fs::path task = expand_home(config.data.task);
  const std::int64_t folds = data::task_folds(task);
  take_from_task(resolved);
  const auto add = [&](std::int64_t fold, bool apart) {
    data::check_folds(task, fold, config.audio.sample_rate);
    config::RunConfig of_fold = resolved;
    of_fold.data.fold = fold;
    if (apart) {
      of_fold.train.run_dir =
          (fs::path(config.train.run_dir) / ("fold" + zero_padded(static_cast<std::uint64_t>(fold), 2))).string();
    }
    if (of_fold.head.classes.empty()) of_fold.head.classes = find_classes(of_fold);
    model::check_head(of_fold.head, of_fold.model);
    check_labels(of_fold);
    all.push_back(std::move(of_fold));
  };
  if (config.data.fold >= 0) {
    add(config.data.fold, folds > 1);
  } else {
    for (std::int64_t fold = 0; fold < folds; ++fold) add(fold, folds > 1);
  }
  return all;
}

ExitCode finetune(const config::RunConfig& config, const std::atomic<bool>& stop,
                  const std::function<void(const std::string& kernels)>& announce) {
  const ExitCode code = train(config, stop, announce);
  const auto rank = launch::rank_from(process_environment());
  if (code != kOk || (rank && rank->rank > 0)) return code;
  if (data::has_held_out(config.data, data::Part::kValidation))
    log::info("best: " + checkpoints::best_checkpoint(config.train.run_dir).string());
  if (data::has_held_out(config.data, data::Part::kTest)) test_best(config);
  return code;
}

void summarize(const config::RunConfig& config, const std::vector<config::RunConfig>& folds) {
  if (folds.size() < 2) return;
  nlohmann::ordered_json json{{"task", config.data.task}, {"folds", nlohmann::ordered_json::array()}};
  for (const config::RunConfig& fold : folds) {
    const fs::path file = fs::path(fold.train.run_dir) / kTestFile;
    json["folds"].push_back(nlohmann::ordered_json(parse_json(read_file(file), file.string())));
  }
  std::ostringstream table;
  table << std::fixed << std::setprecision(4) << "mean over " << folds.size() << " folds";
  for (const std::string name : {"accuracy", "mAP", "AUC", "d_prime", kTaskScore}) {
    double sum = 0, squares = 0;
    bool finite = true;
    for (const auto& fold : json["folds"]) {
      const auto value =
          fold.value(nlohmann::ordered_json::json_pointer("/" + name + "/value"), nlohmann::ordered_json());
      finite &= value.is_number();
      if (finite) sum += value.get<double>();
      if (finite) squares += value.get<double>() * value.get<double>();
    }
    const auto count = static_cast<double>(folds.size());
    const double mean = sum / count, variance = (squares - count * mean * mean) / (count - 1);
    json[name] = nlohmann::ordered_json::object();
    const auto& first = json["folds"][0][name];
    if (name == kTaskScore && first.is_object()) json[name]["name"] = first["name"];
    if (!finite) continue;  // d' of classes that are told apart without an error
    json[name]["mean"] = mean;
    json[name]["std"] = std::sqrt(std::max(variance, 0.0));
    if (name == kTaskScore) continue;  // it is one of the others
    table << "  " << name << " " << mean << " ± " << std::sqrt(std::max(variance, 0.0));
  }
  const fs::path file = fs::path(config.train.run_dir) / kScoresFile;
  write_file_atomic(file, json.dump(2) + "\n");
  std::cout << table.str() << "\n";
  log::info("scores of all folds: " + file.string());
}

}  // namespace axlstm::suite
