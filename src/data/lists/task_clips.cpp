#include "axlstm/data/lists/task_clips.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/hear/task.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

hear::TaskMetadata metadata_of(const fs::path& task) {
  need(hear::is_task_folder(task),
       str(task.string(), ": is no HEAR task (a folder with task_metadata.json); data.task names one"));
  auto metadata = hear::load_task_metadata(task);
  need(metadata.embedding_type == hear::EmbeddingType::kScene,
       str(task.string(), ": is a task of events within clips; data.task takes those of whole clips"));
  return metadata;
}

hear::SplitPlan plan_of(const fs::path& task, const hear::TaskMetadata& metadata, std::int64_t fold) {
  auto plans = hear::plan_splits(metadata);
  const auto count = static_cast<std::int64_t>(plans.size());
  need(fold >= 0 && fold < count,
       str("data.fold is ", fold, ", but ", task.string(), " has the folds 0 … ", count - 1));
  return plans[static_cast<std::size_t>(fold)];
}

fs::path audio_folder(const fs::path& task, std::int64_t sample_rate) {
  if (fs::is_directory(task / std::to_string(sample_rate))) return task / std::to_string(sample_rate);
  for (const int rate : {48000, 44100, 32000, 22050, 16000})
    if (fs::is_directory(task / std::to_string(rate))) return task / std::to_string(rate);
  throw Error(str(task.string(), ": has no audio folder such as ", (task / std::to_string(sample_rate)).string()));
}

std::vector<std::string> files_of(const fs::path& task, const hear::TaskMetadata& metadata, const std::string& split) {
  std::vector<std::string> files;
  for (const auto& clip : hear::load_scene_split(task, split, metadata.prediction_type)) files.push_back(clip.file);
  return files;
}

}  // namespace

std::int64_t task_folds(const fs::path& task) {
  return static_cast<std::int64_t>(hear::plan_splits(metadata_of(task)).size());
}

void check_folds(const fs::path& task, std::int64_t fold, std::int64_t sample_rate) {
  const auto metadata = metadata_of(task);
  const auto plan = plan_of(task, metadata, fold);
  const fs::path audio = audio_folder(task, sample_rate);
  std::map<std::string, std::string> split_of;  // of the files that are trained on
  for (const std::string& split : plan.train)
    for (const std::string& file : files_of(task, metadata, split)) split_of[file] = split;
  for (const auto* splits : {&plan.valid, &plan.test}) {
    for (const std::string& split : *splits) {
      for (const std::string& file : files_of(task, metadata, split)) {
        const auto found = split_of.find(file);
        if (found == split_of.end()) continue;
        // Names may be alike where folders differ: what is in the files tells.
        const fs::path one = audio / found->second / file, other = audio / split / file;
        if (!fs::exists(one) || !fs::exists(other) || fs::file_size(one) != fs::file_size(other)) continue;
        AXLSTM_CHECK(fnv1a64_hex(InputFile(one)) != fnv1a64_hex(InputFile(other)), task.string(), ": folds overlap: \"",
                     file, "\" is in ", found->second, " and in ", split, ", the same sound; take it out of one of ",
                     found->second, ".json and ", split, ".json");
      }
    }
  }
}

Manifest task_clips(const DataOptions& options, std::int64_t sample_rate) {
  const fs::path task = expand_home(options.task);
  const auto metadata = metadata_of(task);
  const auto plan = plan_of(task, metadata, options.fold);
  Manifest manifest;
  manifest.clips = ClipList(audio_folder(task, sample_rate));
  manifest.source = task.string();
  const auto& splits = options.part == Part::kTraining     ? plan.train
                       : options.part == Part::kValidation ? plan.valid
                                                           : plan.test;
  for (const std::string& split : splits) {
    for (const auto& clip : hear::load_scene_split(task, split, metadata.prediction_type)) {
      std::string labels;
      for (const auto& label : clip.labels) labels = str(labels, labels.empty() ? "" : ",", hear::label_text(label));
      manifest.clips.add(split + "/" + clip.file, {}, {}, labels);
    }
  }
  return manifest;
}

}  // namespace axlstm::data
