// Reading and writing whole files so that a half-written one is never taken for whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

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
  void finish();  ///< flushes to the disk (fsync)

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Writes to a temporary name beside `path`, flushes, renames: readers see the old file or the new one.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

/// Flushes a directory entry after a rename, so that it survives a power cut.
void sync_directory(const std::filesystem::path& directory);

/// A file mapped into memory for reading.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Asks the system to read this part of a mapped file at once: page after page, as it is touched, would be as many
/// waits for the disk.
void read_ahead(std::string_view mapped);

/// `~/x` → the home folder's x, where the shell has not done it (`key=~/x`).
std::filesystem::path expand_home(const std::string& path);

/// FNV-1a, 64 bits: detects damage, not malice.
std::uint64_t fnv1a64(std::string_view bytes);

/// The same as 16 hexadecimal digits.
std::string fnv1a64_hex(std::string_view bytes);

/// Holds an exclusive advisory lock on `path` (created if missing) for as long as it lives.
/// Throws Error if another process holds it.
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
