#include "axlstm/core/pending_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm {

namespace fs = std::filesystem;

PendingFiles::~PendingFiles() {
  for (const File& file : files_) {
    if (file.descriptor >= 0) ::close(file.descriptor);
    std::error_code ignored;
    fs::remove(file.temporary, ignored);
  }
}

void PendingFiles::add(const fs::path& path, std::string_view bytes) {
  std::error_code failure;
  fs::create_directories(path.parent_path(), failure);
  AXLSTM_CHECK(!failure, path.parent_path().string(), ": cannot be created (", failure.message(), ")");
  File file{path, path, -1};
  file.temporary += str(".tmp", ::getpid());
  file.descriptor = ::open(file.temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  AXLSTM_CHECK(file.descriptor >= 0, path.string(), ": cannot be created (", std::strerror(errno), ")");
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = errno;
      ::close(file.descriptor);
      fs::remove(file.temporary, failure);
      throw Error(str(path.string(), ": cannot be written (", std::strerror(reason), ")"));
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  // The disk begins now; commit() waits for it.
  ::sync_file_range(file.descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
  files_.push_back(std::move(file));
}

std::vector<PendingFiles::Failure> PendingFiles::commit() {
  std::vector<Failure> failures;
  for (File& file : files_) {
    std::error_code reason;
    try {
      flush_to_disk(file.descriptor, file.path);
      fs::rename(file.temporary, file.path, reason);
      AXLSTM_CHECK(!reason, file.path.string(), ": cannot be replaced (", reason.message(), ")");
    } catch (const Error& failure) {
      failures.push_back({file.path, failure.what()});
      fs::remove(file.temporary, reason);
    }
    ::close(file.descriptor);
  }
  files_.clear();
  return failures;
}

}  // namespace axlstm
