// HEAR task folders: metadata, label vocabulary, the labels of each split, and which splits train and test together.
//
// The same three kinds of file lie in a task folder (beside the audio) and in an embeddings folder (byte copies):
// task_metadata.json, labelvocabulary.csv and <split>.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "axlstm/hear/pickle.h"

namespace axlstm::hear {

enum class EmbeddingType { kScene, kEvent };
enum class PredictionType { kMulticlass, kMultilabel };
enum class SplitMode { kTrainValidTest, kKFold };

/// The keys of task_metadata.json that the evaluation kit uses; all others are ignored.
struct TaskMetadata {
  std::string task_name;  ///< without version and mode; variants of one data set share it
  std::string version;
  std::string mode;
  EmbeddingType embedding_type = EmbeddingType::kScene;
  PredictionType prediction_type = PredictionType::kMulticlass;
  SplitMode split_mode = SplitMode::kTrainValidTest;
  std::vector<std::string> splits;                ///< in the file's order, which decides the order of rows
  std::optional<double> sample_duration_seconds;  ///< none: clips of different lengths
  std::vector<std::string> evaluation;            ///< names of scores; the first one is the primary one
  bool use_scoring_for_early_stopping = true;     ///< false: the validation loss decides
  std::map<std::string, std::vector<double>> event_postprocessing_grid;
  std::map<std::string, std::vector<double>> task_specific_param_grid;
};

/// True for a folder with task_metadata.json: a task or its embeddings.
bool is_task_folder(const std::filesystem::path& path);

/// `input` if it is a task's folder (with audio or embeddings), else the task folders in it, sorted. Throws Error if
/// there are none.
std::vector<std::filesystem::path> find_tasks(const std::filesystem::path& input);

/// The tasks of all `inputs`, absolute and each once, in the order given. What cannot be used is a UsageError naming
/// `key`, the configuration's; so are two tasks of one name, whose results would go to the same place.
std::vector<std::filesystem::path> find_all_tasks(const std::vector<std::string>& inputs, const std::string& key);

/// Reads task_metadata.json of a task or embeddings folder. Throws Error naming file and key.
TaskMetadata load_task_metadata(const std::filesystem::path& directory);

/// A task's labels; a label's index is its class.
class LabelVocabulary {
 public:
  /// `source` names the vocabulary in errors. Throws Error for an empty list and for a label given twice.
  LabelVocabulary(std::vector<std::string> labels, std::string source);

  std::int64_t size() const { return static_cast<std::int64_t>(labels_.size()); }

  const std::vector<std::string>& labels() const { return labels_; }

  /// Throws Error naming vocabulary and label.
  std::int64_t index(const Label& label) const;

 private:
  std::vector<std::string> labels_;
  std::string source_;
  std::unordered_map<std::string, std::int64_t> indices_;
};

/// Reads labelvocabulary.csv (columns idx and label; idx is 0 … n-1 in any order) of a folder.
LabelVocabulary load_label_vocabulary(const std::filesystem::path& directory);

struct SceneClip {
  std::string file;  ///< the key of <split>.json: a file name with its extension
  std::vector<Label> labels;
};

struct Event {
  Label label;
  double start_ms = 0.0;
  double end_ms = 0.0;
};

struct EventClip {
  std::string file;
  std::vector<Event> events;
};

/// Read <split>.json of a folder, in the file's order. Throw Error naming file and key; so does a clip of a
/// multiclass task that has not exactly one label.
std::vector<SceneClip> load_scene_split(const std::filesystem::path& directory, const std::string& split,
                                        PredictionType prediction_type);
std::vector<EventClip> load_event_split(const std::filesystem::path& directory, const std::string& split);

/// Splits whose rows, one after the other, train, validate and test one model.
struct SplitPlan {
  std::vector<std::string> train, valid, test;
};

/// One plan for train/valid/test; for k folds, in sorted order, k plans: plan i tests on fold i, validates on fold
/// (i + 1) mod k and trains on the rest.
std::vector<SplitPlan> plan_splits(const TaskMetadata& metadata);

}  // namespace axlstm::hear
