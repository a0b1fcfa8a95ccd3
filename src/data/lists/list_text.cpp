#include "list_text.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

constexpr std::size_t kBlockBytes = 1 << 18;
// A list of text is hardly packed to less than a hundredth; what claims more is no list.
constexpr std::size_t kMaxRatio = 500, kSmallBytes = 1 << 26;
constexpr std::size_t kLookedAt = 1 << 12, kMagicBytes = 8;

bool is_compressed(std::string_view bytes) {
  return bytes.starts_with("\x1f\x8b") || bytes.starts_with("BZh") ||
         bytes.starts_with(
             "\xfd"
             "7zXZ") ||
         bytes.starts_with("\x28\xb5\x2f\xfd");
}

std::string unpacked(const std::string& bytes, const fs::path& path) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), &archive_read_free);
  for (const auto support : {archive_read_support_filter_gzip, archive_read_support_filter_bzip2,
                             archive_read_support_filter_xz, archive_read_support_filter_zstd})
    support(reader.get());
  archive_read_support_format_raw(reader.get());
  const auto check = [&](bool good) {
    const char* reason = good ? nullptr : archive_error_string(reader.get());
    AXLSTM_CHECK(good, path.string(), ": cannot be unpacked (", reason ? reason : "damaged", ")");
  };
  archive_entry* entry = nullptr;
  check(archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) == ARCHIVE_OK);
  check(archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK);
  std::string text, block(kBlockBytes, '\0');
  la_ssize_t got = 0;
  while ((got = archive_read_data(reader.get(), block.data(), block.size())) > 0) {
    text.append(block.data(), static_cast<std::size_t>(got));
    AXLSTM_CHECK(text.size() <= std::max(kSmallBytes, kMaxRatio * bytes.size()), path.string(),
                 ": unpacks to more than ", kMaxRatio, " times its size; is it a list?");
  }
  check(got == 0);
  return text;
}

/// Says what a file is that is no list.
void check_is_text(std::string_view text, const fs::path& path) {
  const auto refuse = [&](const char* what) { throw Error(str(path.string(), ": ", what)); };
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    refuse("is UTF-16; write it as UTF-8 (iconv -f UTF-16 -t UTF-8)");
  if (text.starts_with("PAR1")) refuse("is a Parquet file; pack --parquet reads those");
  if (text.starts_with("PK\x03\x04")) refuse("is a zip archive or a spreadsheet; save the list as CSV in UTF-8");
  if (text.substr(0, kLookedAt).find('\0') != std::string_view::npos)
    refuse("is no text in UTF-8 (zero bytes in it); save the list as CSV in UTF-8");
}

}  // namespace

fs::path list_name(const fs::path& path) {
  const std::string ending = path.extension().string();
  const bool compressed = ending == ".gz" || ending == ".bz2" || ending == ".xz" || ending == ".zst";
  return compressed ? path.parent_path() / path.stem() : path;
}

std::string read_list(const fs::path& path) {
  std::error_code failure;
  if (fs::is_regular_file(path, failure)) {  // before gigabytes are read that are no list
    const InputFile file(path);
    const std::string head = file.read(0, std::min<std::uint64_t>(file.size(), kMagicBytes));
    if (!is_compressed(head)) check_is_text(head, path);
  }
  std::string text = read_file(path);
  if (is_compressed(text)) text = unpacked(text, path);
  check_is_text(text, path);
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  // Line ends of old Macs, which some spreadsheets still write.
  if (text.find('\n') == std::string::npos) std::replace(text.begin(), text.end(), '\r', '\n');
  return text;
}

}  // namespace axlstm::data
