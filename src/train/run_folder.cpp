#include "axlstm/train/run_folder.h"

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/config/schema.h"
#include "axlstm/core/error.h"
#include "axlstm/core/zero_padded.h"

namespace axlstm::train {

namespace fs = std::filesystem;

RunFolder::RunFolder(const fs::path& path, const std::string& config_yaml) : path_(path) {
  std::error_code failure;
  fs::create_directories(path_, failure);  // here, for the lock must come before anything is read
  AXLSTM_CHECK(!failure, path_.string(), ": cannot be created (", failure.message(), ")");
  lock_ = std::make_unique<FileLock>(path_ / ".lock");
  checkpoints::remove_unfinished_checkpoints(path_);
  check_recipe(path_, config_yaml);
  write_file_atomic(path_ / "config.yaml", config_yaml);
  fs::create_directories(path_ / "pictures", failure);
  AXLSTM_CHECK(!failure, (path_ / "pictures").string(), ": cannot be created (", failure.message(), ")");
}

void RunFolder::check_recipe(const fs::path& path, const std::string& config_yaml) {
  const fs::path stored = path / "config.yaml";
  if (!fs::exists(stored) || checkpoints::list_checkpoints(path).empty()) return;
  std::string changed;
  for (const std::string& key : config::changed_keys(read_file(stored), config_yaml))
    changed += (changed.empty() ? "" : ", ") + key;
  if (!changed.empty()) {
    throw UsageError(str(path.string(), " holds a run with other values of ", changed, "; give the old ones (",
                         stored.string(), ") or another train.run_dir"));
  }
}

fs::path RunFolder::picture(std::int64_t step) const {
  return path_ / "pictures" / str("step-", zero_padded(static_cast<std::uint64_t>(step), 8), ".png");
}

}  // namespace axlstm::train
