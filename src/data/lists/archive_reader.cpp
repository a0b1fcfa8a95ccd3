#include "archive_reader.h"

#include <locale.h>

#include <algorithm>

namespace axlstm::data {
namespace {

/// While it lives this thread's names are UTF-8. Without it libarchive gives no name at all for members of a zip whose
/// names are marked as UTF-8 and are not ASCII; names in other encodings pass as they are.
class Utf8Names {
 public:
  Utf8Names() {
    static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (utf8) before_ = ::uselocale(utf8);
  }
  ~Utf8Names() {
    if (before_) ::uselocale(before_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t before_ = nullptr;
};

std::string text_of(const char* text) { return text ? text : ""; }

}  // namespace

ArchiveReader::ArchiveReader(const std::filesystem::path& path, std::size_t block_bytes)
    : archive_(archive_read_new(), &archive_read_free), block_bytes_(block_bytes) {
  // Not filter_all: some filters would start a program, and the archive would choose which.
  for (const auto support :
       {archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_xz,
        archive_read_support_filter_zstd, archive_read_support_filter_lz4})
    support(archive_.get());
  archive_read_support_format_tar(archive_.get());
  archive_read_support_format_zip(archive_.get());
  // What follows the mark of a tar's end is another tar, as `cat a.tar b.tar` makes it.
  archive_read_set_format_option(archive_.get(), "tar", "read_concatenated_archives", "1");
  if (archive_read_open_filename(archive_.get(), path.c_str(), block_bytes) != ARCHIVE_OK) fail();
}

std::optional<ArchiveMember> ArchiveReader::next() {
  const Utf8Names utf8_names;
  const int status = archive_read_next_header(archive_.get(), &entry_);
  if (status == ARCHIVE_EOF) return std::nullopt;
  if (status <= ARCHIVE_FAILED) fail();
  ArchiveMember member;
  member.name = text_of(archive_entry_pathname(entry_));
  if (archive_entry_hardlink(entry_) && archive_entry_size(entry_) == 0) {
    member.kind = ArchiveMember::Kind::kHardLink;
    member.target = text_of(archive_entry_hardlink(entry_));
  } else if (archive_entry_filetype(entry_) == AE_IFLNK) {
    member.kind = ArchiveMember::Kind::kSymbolicLink;
    member.target = text_of(archive_entry_symlink(entry_));
  } else if (archive_entry_filetype(entry_) == AE_IFREG) {
    member.kind = ArchiveMember::Kind::kFile;
  }
  return member;
}

std::optional<std::string> ArchiveReader::content(std::uint64_t limit) {
  std::string content, block(block_bytes_, '\0');
  la_ssize_t got = 0;
  while ((got = archive_read_data(archive_.get(), block.data(), block.size())) > 0) {
    content.append(block.data(), static_cast<std::size_t>(got));
    if (content.size() > limit) return std::nullopt;
  }
  if (got < 0) fail();
  return content;
}

std::uint64_t ArchiveReader::position() const {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(archive_filter_bytes(archive_.get(), -1), 0));
}

void ArchiveReader::fail() const {
  const char* reason = archive_error_string(archive_.get());
  throw ReadError(reason ? reason : "damaged");
}

}  // namespace axlstm::data
