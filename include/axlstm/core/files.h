// Files: read and written whole, so that a half-written one is never taken for whole; checksums; locks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "axlstm/core/error.h"

namespace axlstm {

/// The file's bytes. Throws Error naming the path and the system's reason.
std::string read_file(const std::filesystem::path& path);

/// A new file written piece by piece; every failed write is an Error naming the path and the system's reason.
class SyncedWriter {
 public:
  explicit SyncedWriter(const std::filesystem::path& path);
  ~SyncedWriter();
  SyncedWriter(const SyncedWriter&) = delete;
  SyncedWriter& operator=(const SyncedWriter&) = delete;

  void append(std::string_view bytes);
  void begin_flush();  ///< lets the disk begin; finish() then waits for what is left
  void finish();       ///< flushes to the disk (fsync); where the file system cannot, a warning says so once

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Sets `bytes` aside for a file that is there, as if they were written: what a disk, a quota or a limit does not allow
/// is an Error at once. On file systems that cannot, zeros are written instead.
void reserve_space(const std::filesystem::path& file, std::uint64_t bytes);

/// Writes to a temporary name beside `path`, flushes, renames: readers see the old file or the new one.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

/// Flushes a directory entry after a rename, so that it survives a power cut. File systems without that (CIFS, FUSE,
/// some network and container file systems) get one warning; Error where the disk itself fails.
void sync_directory(const std::filesystem::path& directory);

/// A file to read from at any place, by any number of threads. It is read, not mapped: a disk that fails, or a file cut
/// short by somebody else, is then an Error that a caller can pass over, where touching mapped memory ends the program.
class InputFile {
 public:
  /// Throws Error naming the path if it cannot be opened or is no regular file.
  explicit InputFile(std::filesystem::path path);
  InputFile(InputFile&& other) noexcept;
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  ///< when it was opened

  /// Throws Error naming the path and the system's reason, also if the file ends before that.
  void read(std::uint64_t offset, void* target, std::size_t bytes) const;
  std::string read(std::uint64_t offset, std::size_t bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// Lets this process have as many files open as the system allows at all; many systems begin with 1024.
void allow_many_open_files();

/// `~/x` → the home folder's x, where the shell has not done it (`key=~/x`).
std::filesystem::path expand_home(const std::string& path);

constexpr std::uint64_t kFnv1a64Start = 0xcbf29ce484222325ULL;

/// FNV-1a, 64 bits: detects damage, not malice. Bytes that come in pieces: each call goes on from the last one's value.
std::uint64_t fnv1a64(std::string_view bytes, std::uint64_t state = kFnv1a64Start);

/// Of `bytes` bytes of a file from `offset` on.
std::uint64_t fnv1a64(const InputFile& file, std::uint64_t offset, std::uint64_t bytes);

/// A checksum as 16 hexadecimal digits.
std::string hex(std::uint64_t checksum);
std::string fnv1a64_hex(std::string_view bytes);
std::string fnv1a64_hex(const InputFile& file);

/// Another process holds a lock.
class LockedError : public Error {
 public:
  using Error::Error;
};

/// Holds an exclusive advisory lock on `path` (created if missing) for as long as it lives.
/// Throws LockedError if another process holds it, Error if it cannot be created.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace axlstm
