// The folder of a run: config.yaml, checkpoints/, metrics.jsonl, tensorboard/, pictures/.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "axlstm/core/files.h"

namespace axlstm::train {

class RunFolder {
 public:
  /// Creates the folder if need be, and makes it this process's alone while the object lives: takes its lock, deletes
  /// what an interrupted process left unfinished, stores the configuration. Throws UsageError naming the keys if it
  /// holds checkpoints of another recipe, Error if another process trains in it or it cannot be written.
  RunFolder(const std::filesystem::path& path, const std::string& config_yaml);

  /// Throws as the constructor does for another recipe, and writes nothing.
  static void check_recipe(const std::filesystem::path& path, const std::string& config_yaml);

  const std::filesystem::path& path() const { return path_; }

  /// Where the picture of a step goes.
  std::filesystem::path picture(std::int64_t step) const;

 private:
  std::filesystem::path path_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace axlstm::train
