#include "axlstm/core/pending_files.h"

#include <unistd.h>

#include "axlstm/core/error.h"

namespace axlstm {

namespace fs = std::filesystem;

PendingFiles::~PendingFiles() {
  for (const File& file : files_) {
    std::error_code ignored;
    fs::remove(file.temporary, ignored);
  }
}

void PendingFiles::add(const fs::path& path, std::string_view bytes) {
  add(path, [&](SyncedWriter& writer) { writer.append(bytes); });
}

void PendingFiles::add(const fs::path& path, const std::function<void(SyncedWriter&)>& write) {
  std::error_code failure;
  fs::create_directories(path.parent_path(), failure);
  AXLSTM_CHECK(!failure, path.parent_path().string(), ": cannot be created (", failure.message(), ")");
  File file{path, path, nullptr};
  file.temporary += str(".tmp", ::getpid());
  try {
    file.writer = std::make_unique<SyncedWriter>(file.temporary);
    write(*file.writer);
    file.writer->begin_flush();
  } catch (...) {
    fs::remove(file.temporary, failure);
    throw;
  }
  files_.push_back(std::move(file));
}

std::vector<PendingFiles::Failure> PendingFiles::commit() {
  std::vector<Failure> failures;
  for (const File& file : files_) {
    std::error_code reason;
    try {
      file.writer->finish();
      fs::rename(file.temporary, file.path, reason);
      AXLSTM_CHECK(!reason, file.path.string(), ": cannot be replaced (", reason.message(), ")");
    } catch (const Error& failure) {
      failures.push_back({file.path, failure.what()});
      fs::remove(file.temporary, reason);
    }
  }
  files_.clear();
  return failures;
}

}  // namespace axlstm
