// The embeddings and targets of a task, loaded once for all models that are trained on them.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "axlstm/downstream/objective.h"
#include "axlstm/hear/task.h"

namespace axlstm::downstream {

/// All splits of an embeddings folder, on the device of the evaluation. Read-only, so threads may share it.
class TaskData {
 public:
  /// Throws Error naming file and value for damaged folders: splits of different width, labels outside the vocabulary,
  /// frames of files that <split>.json does not list or that come twice at one time.
  TaskData(const std::filesystem::path& directory, torch::Device device);

  const std::filesystem::path& directory() const { return directory_; }
  const hear::TaskMetadata& metadata() const { return metadata_; }
  torch::Device device() const { return device_; }
  const SplitData& split(const std::string& name) const { return splits_.at(name); }
  std::vector<SplitData> splits(const std::vector<std::string>& names) const;

  /// Names of the classes.
  const std::vector<std::string>& labels() const { return labels_; }

  /// The width of the embeddings.
  std::int64_t D() const { return splits_.begin()->second.embeddings.size(1); }

 private:
  std::filesystem::path directory_;
  torch::Device device_;
  hear::TaskMetadata metadata_;
  std::vector<std::string> labels_;
  std::map<std::string, SplitData> splits_;
};

}  // namespace axlstm::downstream
