#include "axlstm/hear/task.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "hear/python_json.h"

namespace axlstm::hear {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// A JSON value together with what to call it in errors.
struct Value {
  const json& data;
  std::string name;  ///< file and key

  /// Throws unless `holds`.
  void require(bool holds, const char* wanted) const {
    AXLSTM_CHECK(holds, name, ": ", wanted, " is needed, found ",
                 data.is_structured() ? data.type_name() : data.dump());
  }

  bool has(const std::string& key) const { return data.contains(key) && !data[key].is_null(); }

  Value at(const std::string& key) const {
    require(data.is_object(), "an object");
    AXLSTM_CHECK(has(key), name, ": key \"", key, "\" is missing");
    return {data[key], str(name, ": \"", key, "\"")};
  }

  std::string text() const {
    require(data.is_string(), "a string");
    return data.get<std::string>();
  }

  double number() const {
    require(data.is_number(), "a number");
    return data.get<double>();
  }

  bool boolean() const {
    require(data.is_boolean(), "true or false");
    return data.get<bool>();
  }

  Label label() const {
    require(data.is_string() || data.is_number_integer(), "a string or an integer");
    if (data.is_string()) return data.get<std::string>();
    require(!data.is_number_unsigned() || std::in_range<std::int64_t>(data.get<std::uint64_t>()),
            "a number below 2^63");
    return data.get<std::int64_t>();
  }

  /// `read` of each element of an array.
  template <typename Read>
  auto list(Read&& read) const {
    require(data.is_array(), "an array");
    std::vector<decltype(read(*this))> items;
    items.reserve(data.size());
    for (std::size_t i = 0; i < data.size(); ++i) items.push_back(read(Value{data[i], str(name, "[", i, "]")}));
    return items;
  }

  std::vector<std::string> texts() const {
    return list([](const Value& item) { return item.text(); });
  }

  /// The value that belongs to the text; the error lists the choices.
  template <typename Enum>
  Enum choice(std::initializer_list<std::pair<const char*, Enum>> choices) const {
    const std::string found = text();
    std::string known;
    for (const auto& [word, meaning] : choices) {
      if (found == word) return meaning;
      known += str(known.empty() ? "" : ", ", word);
    }
    throw Error(str(name, ": \"", found, "\" is none of ", known));
  }
};

/// Names from JSON become parts of paths: one that leaves its folder is refused.
void require_plain_name(const std::string& name, const std::string& source) {
  AXLSTM_CHECK(!name.empty() && name != "." && name != ".." && name.find_first_of("/\\") == std::string::npos, source,
               ": \"", name, "\" is not a plain file name");
}

/// The grid `key` of evaluation_params, empty if there is none.
std::map<std::string, std::vector<double>> parameter_grid(const Value& metadata, const std::string& key) {
  std::map<std::string, std::vector<double>> grid;
  if (!metadata.has("evaluation_params")) return grid;
  const Value parameters = metadata.at("evaluation_params");
  parameters.require(parameters.data.is_object(), "an object");
  if (!parameters.has(key)) return grid;
  const Value found = parameters.at(key);
  found.require(found.data.is_object(), "an object");
  for (const auto& [name, values] : found.data.items()) {
    grid[name] = found.at(name).list([](const Value& item) { return item.number(); });
    AXLSTM_CHECK(!grid[name].empty(), found.name, ": \"", name, "\" has no values");
  }
  return grid;
}

}  // namespace

bool is_task_folder(const fs::path& path) { return fs::is_regular_file(path / "task_metadata.json"); }

std::vector<fs::path> find_tasks(const fs::path& input) {
  AXLSTM_CHECK(fs::is_directory(input), input.string(), ": no such folder");
  if (is_task_folder(input)) return {input};
  std::vector<fs::path> tasks;
  for (const auto& entry : fs::directory_iterator(input)) {
    if (is_task_folder(entry.path())) tasks.push_back(entry.path());
  }
  AXLSTM_CHECK(!tasks.empty(), input.string(), ": holds no HEAR task (a folder with task_metadata.json)");
  std::sort(tasks.begin(), tasks.end());
  return tasks;
}

std::vector<fs::path> find_all_tasks(const std::vector<std::string>& inputs, const std::string& key) {
  std::vector<fs::path> tasks;
  std::map<std::string, fs::path> by_name;
  for (const std::string& input : inputs) {
    std::vector<fs::path> found;
    try {
      for (const fs::path& task : find_tasks(expand_home(input))) found.push_back(fs::canonical(task));
    } catch (const std::exception& failure) {
      throw UsageError(str(key, ": ", message_of(failure)));
    }
    for (const fs::path& task : found) {
      const auto [first, is_new] = by_name.emplace(task.filename().string(), task);
      if (is_new) {
        tasks.push_back(task);
      } else if (first->second != task) {
        throw UsageError(str(key, ": two tasks have the folder name '", first->first, "': ", first->second.string(),
                             " and ", task.string(), "; rename one or give them to separate runs"));
      }
    }
  }
  return tasks;
}

TaskMetadata load_task_metadata(const fs::path& directory) {
  const fs::path path = directory / "task_metadata.json";
  const json parsed = read_json(path);
  const Value root{parsed, path.string()};
  TaskMetadata metadata;
  metadata.task_name = root.at("task_name").text();
  metadata.version = root.at("version").text();
  metadata.mode = root.at("mode").text();
  metadata.embedding_type =
      root.at("embedding_type")
          .choice<EmbeddingType>({{"scene", EmbeddingType::kScene}, {"event", EmbeddingType::kEvent}});
  metadata.prediction_type = root.at("prediction_type")
                                 .choice<PredictionType>({{"multiclass", PredictionType::kMulticlass},
                                                          {"multilabel", PredictionType::kMultilabel}});
  metadata.split_mode = root.at("split_mode")
                            .choice<SplitMode>({{"trainvaltest", SplitMode::kTrainValidTest},
                                                {"new_split_kfold", SplitMode::kKFold},
                                                {"presplit_kfold", SplitMode::kKFold}});
  metadata.splits = root.at("splits").texts();
  AXLSTM_CHECK(!metadata.splits.empty(), root.name, ": \"splits\" is empty");
  for (const std::string& split : metadata.splits) require_plain_name(split, root.name);
  if (root.has("sample_duration")) metadata.sample_duration_seconds = root.at("sample_duration").number();
  metadata.evaluation = root.at("evaluation").texts();
  AXLSTM_CHECK(!metadata.evaluation.empty(), root.name, ": \"evaluation\" is empty");
  if (root.has("use_scoring_for_early_stopping")) {
    metadata.use_scoring_for_early_stopping = root.at("use_scoring_for_early_stopping").boolean();
  }
  metadata.event_postprocessing_grid = parameter_grid(root, "event_postprocessing_grid");
  metadata.task_specific_param_grid = parameter_grid(root, "task_specific_param_grid");
  return metadata;
}

LabelVocabulary::LabelVocabulary(std::vector<std::string> labels, std::string source)
    : labels_(std::move(labels)), source_(std::move(source)) {
  AXLSTM_CHECK(!labels_.empty(), source_, ": no labels");
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    const bool added = indices_.emplace(labels_[i], static_cast<std::int64_t>(i)).second;
    AXLSTM_CHECK(added, source_, ": label \"", labels_[i], "\" is given twice");
  }
}

std::int64_t LabelVocabulary::index(const Label& label) const {
  const std::string text = label_text(label);
  const auto entry = indices_.find(text);
  AXLSTM_CHECK(entry != indices_.end(), source_, ": label \"", text, "\" is not in the vocabulary of ", size(),
               " labels");
  return entry->second;
}

LabelVocabulary load_label_vocabulary(const fs::path& directory) {
  const fs::path path = directory / "labelvocabulary.csv";
  const std::vector<CsvRow> rows = parse_csv(read_file(path), path.string());
  AXLSTM_CHECK(!rows.empty(), path.string(), ": empty file");
  const auto column = [&](const char* name) {
    const auto& header = rows.front().fields;
    const auto found = std::find(header.begin(), header.end(), name);
    AXLSTM_CHECK(found != header.end(), path.string(), ": no column \"", name, "\"");
    return static_cast<std::size_t>(found - header.begin());
  };
  const std::size_t index_column = column("idx");
  const std::size_t label_column = column("label");

  const std::size_t count = rows.size() - 1;
  std::vector<std::optional<std::string>> labels(count);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const auto& [line, fields] = rows[i];
    AXLSTM_CHECK(fields.size() == rows.front().fields.size(), path.string(), ":", line, ": ", fields.size(),
                 " fields, the header has ", rows.front().fields.size());
    const std::string& text = fields[index_column];
    std::size_t index = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), index);
    AXLSTM_CHECK(failure == std::errc() && end == text.data() + text.size() && index < count, path.string(), ":", line,
                 ": idx \"", text, "\" is not a number from 0 to ", count - 1);
    AXLSTM_CHECK(!labels[index], path.string(), ":", line, ": idx ", index, " is given twice");
    labels[index] = fields[label_column];
  }
  std::vector<std::string> texts;
  texts.reserve(count);
  for (auto& label : labels) texts.push_back(*std::move(label));
  return {std::move(texts), path.string()};
}

std::vector<SceneClip> load_scene_split(const fs::path& directory, const std::string& split,
                                        PredictionType prediction_type) {
  const fs::path path = directory / (split + ".json");
  std::vector<SceneClip> clips;
  for (const auto& [file, data] : read_json_members(path)) {
    require_plain_name(file, path.string());
    const Value value{data, str(path.string(), ": \"", file, "\"")};
    clips.push_back({file, value.list([](const Value& item) { return item.label(); })});
    const std::size_t count = clips.back().labels.size();
    AXLSTM_CHECK(prediction_type == PredictionType::kMultilabel || count == 1, value.name, ": ", count,
                 " labels, a multiclass task needs exactly 1");
  }
  AXLSTM_CHECK(!clips.empty(), path.string(), ": no clips");
  return clips;
}

std::vector<EventClip> load_event_split(const fs::path& directory, const std::string& split) {
  const fs::path path = directory / (split + ".json");
  std::vector<EventClip> clips;
  for (const auto& [file, data] : read_json_members(path)) {
    require_plain_name(file, path.string());
    const Value value{data, str(path.string(), ": \"", file, "\"")};
    clips.push_back({file, value.list([](const Value& item) {
                       return Event{item.at("label").label(), item.at("start").number(), item.at("end").number()};
                     })});
  }
  AXLSTM_CHECK(!clips.empty(), path.string(), ": no clips");
  return clips;
}

std::vector<SplitPlan> plan_splits(const TaskMetadata& metadata) {
  std::vector<std::string> splits = metadata.splits;
  std::sort(splits.begin(), splits.end());
  AXLSTM_CHECK(std::adjacent_find(splits.begin(), splits.end()) == splits.end(), metadata.task_name,
               ": a split is listed twice");
  if (metadata.split_mode == SplitMode::kTrainValidTest) {
    AXLSTM_CHECK((splits == std::vector<std::string>{"test", "train", "valid"}), metadata.task_name,
                 ": split_mode trainvaltest needs the splits train, valid and test");
    return {{{"train"}, {"valid"}, {"test"}}};
  }
  const std::size_t k = splits.size();
  AXLSTM_CHECK(k >= 3, metadata.task_name, ": ", k, " folds, at least 3 are needed");
  std::vector<SplitPlan> plans(k);
  for (std::size_t i = 0; i < k; ++i) {
    const std::size_t valid = (i + 1) % k;
    plans[i].test = {splits[i]};
    plans[i].valid = {splits[valid]};
    for (std::size_t j = 0; j < k; ++j) {
      if (j != i && j != valid) plans[i].train.push_back(splits[j]);
    }
  }
  return plans;
}

}  // namespace axlstm::hear
