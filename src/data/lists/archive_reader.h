// Members of a tar or zip archive, one after the other, through libarchive.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "axlstm/core/error.h"

namespace axlstm::data {

/// An archive cannot be read on; its text is the reason, without the path.
class ReadError : public Error {
 public:
  using Error::Error;
};

struct ArchiveMember {
  enum class Kind { kFile, kHardLink, kSymbolicLink, kOther };

  std::string name;
  Kind kind = Kind::kOther;
  std::string target;  ///< of a link, as it is written there
};

/// Reads one archive from its beginning to its end, also when several were joined. Used by one thread at a time.
class ArchiveReader {
 public:
  /// `block_bytes`: how much is read at once; small where contents are passed over.
  /// This and the calls below throw ReadError.
  ArchiveReader(const std::filesystem::path& path, std::size_t block_bytes);

  /// The next member, nothing at the end.
  std::optional<ArchiveMember> next();

  /// The content of the member that next() gave last, nothing if it is longer than `limit` bytes.
  std::optional<std::string> content(std::uint64_t limit);

  /// Bytes of the file that were read so far.
  std::uint64_t position() const;

 private:
  [[noreturn]] void fail() const;

  std::unique_ptr<archive, decltype(&archive_read_free)> archive_;
  archive_entry* entry_ = nullptr;
  std::size_t block_bytes_;
};

}  // namespace axlstm::data
