#include "axlstm/core/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iomanip>
#include <mutex>
#include <utility>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlockBytes = 1 << 18;

/// Whether the file system says that it does not know what it was asked for, rather than that it failed.
bool is_unsupported(int reason) {
  constexpr std::array kReasons{EINVAL, ENOTSUP, EOPNOTSUPP, ENOSYS, EPERM, EACCES, ENOTTY, EISDIR};
  return std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

/// fsync's result once unsupported is taken for done, with a warning for the first file and the first folder.
bool is_flushed(bool done, const fs::path& path, const char* what, std::once_flag& told) {
  if (done) return true;
  const int reason = errno;
  if (!is_unsupported(reason)) return false;
  std::call_once(told, [&] {
    log::warn(str(path.string(), ": this file system cannot flush ", what, " to disk (", std::strerror(reason),
                  "): what was written last may be lost in a power cut"));
  });
  return true;
}

/// Closes its descriptor; close errors are checked by fsync before.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::string read_file(const fs::path& path) {
  std::error_code ignored;  // what cannot be looked at cannot be opened either
  AXLSTM_CHECK(!fs::is_directory(path, ignored), path.string(), ": is a folder, a file is needed");
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  AXLSTM_CHECK(file.fd >= 0, path.string(), ": cannot be opened (", std::strerror(errno), ")");
  std::string bytes;
  while (true) {  // to the end, wherever that is: pipes have no size
    const std::size_t before = bytes.size();
    bytes.resize(before + kBlockBytes);
    const ssize_t got = ::read(file.fd, bytes.data() + before, kBlockBytes);
    bytes.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    AXLSTM_CHECK(got >= 0, path.string(), ": read error (", std::strerror(errno), ")");
    if (got == 0) return bytes;
  }
}

SyncedWriter::SyncedWriter(const fs::path& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  AXLSTM_CHECK(descriptor_ >= 0, path.string(), ": cannot be created (", std::strerror(errno), ")");
}

SyncedWriter::~SyncedWriter() { ::close(descriptor_); }

void SyncedWriter::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    AXLSTM_CHECK(written > 0, path_.string(), ": cannot be written (", std::strerror(errno), ")");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void SyncedWriter::begin_flush() { ::sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE); }

void SyncedWriter::finish() {
  static std::once_flag told;
  AXLSTM_CHECK(is_flushed(::fsync(descriptor_) == 0, path_, "files", told), path_.string(),
               ": cannot be flushed to disk (", std::strerror(errno), ")");
}

void reserve_space(const fs::path& path, std::uint64_t bytes) {
  const Descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
  AXLSTM_CHECK(file.fd >= 0, path.string(), ": cannot be created (", std::strerror(errno), ")");
  int result = 0;
  do {
    result = bytes == 0 ? 0 : ::fallocate(file.fd, 0, 0, static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  AXLSTM_CHECK(is_unsupported(errno), path.string(), ": cannot be written, there is no room for ", bytes, " bytes (",
               std::strerror(errno), ")");
  SyncedWriter writer(path);
  const std::string block(std::min<std::uint64_t>(bytes, kBlockBytes), '\0');
  for (std::uint64_t left = bytes; left > 0; left -= std::min<std::uint64_t>(left, block.size()))
    writer.append(std::string_view(block).substr(0, left));
  writer.finish();
}

void write_file_atomic(const fs::path& path, std::string_view bytes) {
  fs::path temporary = path;
  temporary += str(".tmp", ::getpid());
  try {
    SyncedWriter writer(temporary);
    writer.append(bytes);
    writer.finish();
    std::error_code failure;
    fs::rename(temporary, path, failure);
    AXLSTM_CHECK(!failure, path.string(), ": cannot be replaced (", failure.message(), ")");
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
}

void sync_directory(const fs::path& directory) {
  static std::once_flag told;
  const Descriptor folder{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  const bool done = folder.fd >= 0 && ::fsync(folder.fd) == 0;
  AXLSTM_CHECK(is_flushed(done, directory, "folders", told), directory.string(), ": cannot be flushed to disk (",
               std::strerror(errno), ")");
}

InputFile::InputFile(fs::path path) : path_(std::move(path)) {
  Descriptor file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat info {};
  AXLSTM_CHECK(file.fd >= 0 && ::fstat(file.fd, &info) == 0, path_.string(), ": cannot be opened (",
               std::strerror(errno), ")", errno == EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
  AXLSTM_CHECK(S_ISREG(info.st_mode), path_.string(), ": is not a file");
  size_ = static_cast<std::uint64_t>(info.st_size);
  descriptor_ = std::exchange(file.fd, -1);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(std::uint64_t offset, void* target, std::size_t bytes) const {
  auto* to = static_cast<char*>(target);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    AXLSTM_CHECK(got >= 0, path_.string(), ": read error at byte ", offset, " (", std::strerror(errno), ")");
    AXLSTM_CHECK(got > 0, path_.string(), ": ends at byte ", offset, ", ", bytes, " more are needed");
    to += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

std::string InputFile::read(std::uint64_t offset, std::size_t bytes) const {
  AXLSTM_CHECK(offset <= size_ && bytes <= size_ - offset, path_.string(), ": has ", size_, " bytes, ", bytes,
               " from byte ", offset, " on are needed");  // before memory is asked for
  std::string text(bytes, '\0');
  read(offset, text.data(), bytes);
  return text;
}

void allow_many_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // if it is refused, opening says so when the limit is met
}

fs::path expand_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  return home && path.rfind("~/", 0) == 0 ? fs::path(home) / path.substr(2) : fs::path(path);
}

std::uint64_t fnv1a64(std::string_view bytes, std::uint64_t state) {
  for (const char byte : bytes) {
    state ^= static_cast<unsigned char>(byte);
    state *= 0x100000001b3ULL;
  }
  return state;
}

std::uint64_t fnv1a64(const InputFile& file, std::uint64_t offset, std::uint64_t bytes) {
  std::uint64_t state = kFnv1a64Start;
  std::string block;
  for (; bytes > 0; offset += block.size(), bytes -= block.size()) {
    block.resize(std::min<std::uint64_t>(bytes, kBlockBytes));
    file.read(offset, block.data(), block.size());
    state = fnv1a64(block, state);
  }
  return state;
}

std::string hex(std::uint64_t checksum) {
  std::ostringstream digits;
  digits << std::hex << std::setw(16) << std::setfill('0') << checksum;
  return digits.str();
}

std::string fnv1a64_hex(std::string_view bytes) { return hex(fnv1a64(bytes)); }

std::string fnv1a64_hex(const InputFile& file) { return hex(fnv1a64(file, 0, file.size())); }

FileLock::FileLock(const fs::path& path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  AXLSTM_CHECK(descriptor_ >= 0, path.string(), ": cannot be created (", std::strerror(errno), ")");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(descriptor_);
    AXLSTM_CHECK(reason == EWOULDBLOCK, path.string(), ": cannot be locked (", std::strerror(reason),
                 "); choose a folder on a file system with locks");
    throw LockedError(str(path.parent_path().string(),
                          ": another process is writing to this folder; wait for it or choose another one"));
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace axlstm
