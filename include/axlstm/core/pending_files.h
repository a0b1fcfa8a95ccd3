// Files that are flushed to disk together: one by one, a thousand of them would wait for the disk a thousand
// times.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "axlstm/core/files.h"

namespace axlstm {

/// After a kill each file is there whole, or not at all.
class PendingFiles {
 public:
  PendingFiles() = default;
  ~PendingFiles();  ///< what was not committed is deleted
  PendingFiles(const PendingFiles&) = delete;
  PendingFiles& operator=(const PendingFiles&) = delete;

  /// Writes a file under a temporary name beside `path`, and makes its folder. Throws Error naming it if that fails;
  /// the others stay as they are.
  void add(const std::filesystem::path& path, std::string_view bytes);

  /// The same of what `write` appends.
  void add(const std::filesystem::path& path, const std::function<void(SyncedWriter&)>& write);

  struct Failure {
    std::filesystem::path path;
    std::string message;  ///< names the path
  };

  /// Flushes all and gives them their names. Returns those for which that failed; the others are there.
  std::vector<Failure> commit();

  std::size_t size() const { return files_.size(); }

 private:
  struct File {
    std::filesystem::path path, temporary;
    std::unique_ptr<SyncedWriter> writer;
  };

  std::vector<File> files_;
};

}  // namespace axlstm
