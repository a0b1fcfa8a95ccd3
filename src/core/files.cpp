#include "axlstm/core/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iomanip>

#include "axlstm/core/error.h"

namespace axlstm {
namespace {

namespace fs = std::filesystem;

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
  std::ifstream in(path, std::ios::binary);
  AXLSTM_CHECK(in, path.string(), ": cannot be opened (", std::strerror(errno), ")");
  std::ostringstream bytes;
  bytes << in.rdbuf();
  AXLSTM_CHECK(!in.bad(), path.string(), ": read error (", std::strerror(errno), ")");
  return std::move(bytes).str();
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

void SyncedWriter::finish() {
  AXLSTM_CHECK(::fsync(descriptor_) == 0, path_.string(), ": cannot be flushed to disk (", std::strerror(errno), ")");
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
  const Descriptor folder{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  AXLSTM_CHECK(folder.fd >= 0 && ::fsync(folder.fd) == 0, directory.string(), ": cannot be flushed to disk (",
               std::strerror(errno), ")");
}

MappedFile::MappedFile(const fs::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat info {};
  AXLSTM_CHECK(file.fd >= 0 && ::fstat(file.fd, &info) == 0, path.string(), ": cannot be opened (",
               std::strerror(errno), ")");
  AXLSTM_CHECK(S_ISREG(info.st_mode), path.string(), ": is not a file");
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;
  void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  AXLSTM_CHECK(mapping != MAP_FAILED, path.string(), ": cannot be mapped (", std::strerror(errno), ")");
  data_ = static_cast<const char*>(mapping);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<char*>(data_), size_);
}

void read_ahead(std::string_view mapped) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped.data());
  const std::uintptr_t aligned = begin / page * page;
  ::posix_madvise(reinterpret_cast<void*>(aligned), mapped.size() + (begin - aligned), POSIX_MADV_WILLNEED);
}

fs::path expand_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  return home && path.rfind("~/", 0) == 0 ? fs::path(home) / path.substr(2) : fs::path(path);
}

std::uint64_t fnv1a64(std::string_view bytes) {
  std::uint64_t state = 0xcbf29ce484222325ULL;
  for (const char byte : bytes) {
    state ^= static_cast<unsigned char>(byte);
    state *= 0x100000001b3ULL;
  }
  return state;
}

std::string fnv1a64_hex(std::string_view bytes) {
  std::ostringstream hex;
  hex << std::hex << std::setw(16) << std::setfill('0') << fnv1a64(bytes);
  return hex.str();
}

FileLock::FileLock(const fs::path& path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  AXLSTM_CHECK(descriptor_ >= 0, path.string(), ": cannot be created (", std::strerror(errno), ")");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(descriptor_);
    AXLSTM_CHECK(reason == EWOULDBLOCK, path.string(), ": cannot be locked (", std::strerror(reason),
                 "); choose a folder on a file system with locks");
    throw Error(str(path.parent_path().string(),
                    ": another process is writing to this folder; wait for it or choose another one"));
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace axlstm
