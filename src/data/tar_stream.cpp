// WebDataset's tar archives as a stream of clips, through libarchive.
#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <nlohmann/json.hpp>

#include "axlstm/audio/file_names.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/json_depth.h"
#include "axlstm/data/clip_stream.h"
#include "labels.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;
using Archive = std::unique_ptr<archive, decltype(&archive_read_free)>;

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
// One clip in memory: a compressed archive can hold far more than its own size.
constexpr std::uint64_t kMaxAudioBytes = std::uint64_t{1} << 32;
constexpr std::uint64_t kMaxLabelBytes = std::uint64_t{1} << 24;

bool is_tar_name(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.find(".tar") != std::string::npos || path.extension() == ".tgz";
}

std::vector<fs::path> find_archives(const std::vector<fs::path>& inputs) {
  std::vector<fs::path> archives;
  for (const fs::path& input : inputs) {
    std::error_code failure;
    AXLSTM_CHECK(fs::exists(input, failure), input.string(), ": no such archive or folder");
    if (!fs::is_directory(input, failure)) {
      archives.push_back(input);
      continue;
    }
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(input))
      if (is_tar_name(entry.path()) && entry.is_regular_file(failure)) found.push_back(entry.path());
    AXLSTM_CHECK(!found.empty(), input.string(), ": holds no tar archives (*.tar, *.tar.gz, *.tgz, …)");
    std::sort(found.begin(), found.end());
    archives.insert(archives.end(), found.begin(), found.end());
  }
  return archives;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

/// A name as WebDataset takes it apart: "a/b.x.flac" is the member "x.flac" of the clip "a/b".
struct MemberName {
  std::string key, extension;

  explicit MemberName(const std::string& path) {
    const auto slash = path.rfind('/');
    const auto dot = path.find('.', slash == std::string::npos ? 0 : slash + 1);
    key = path.substr(0, dot);
    if (dot != std::string::npos) extension = path.substr(dot + 1);
  }
};

class TarStream final : public ClipStream {
 public:
  explicit TarStream(std::vector<fs::path> archives) : archives_(std::move(archives)) {
    for (const fs::path& path : archives_) bytes_ += fs::file_size(path);
  }

  std::optional<StreamedClip> next() override { return take(/*with_bytes=*/true); }

  void skip(std::int64_t count) override {
    while (count-- > 0 && take(/*with_bytes=*/false)) continue;
  }

  double done() const override { return bytes_ == 0 ? 1 : static_cast<double>(read_) / static_cast<double>(bytes_); }

  std::string fingerprint() const override {
    std::string list;
    for (const fs::path& path : archives_) list += str(path.filename().string(), ' ', fs::file_size(path), '\n');
    return fnv1a64_hex(list);
  }

  std::string description() const override {
    return str(archives_.front().string(),
               archives_.size() > 1 ? str(" and ", archives_.size() - 1, " more archives") : "");
  }

 private:
  /// The members read so far of one clip; they follow each other.
  struct Group {
    std::string key, audio_name, audio, labels, failure;
  };

  std::optional<StreamedClip> take(bool with_bytes) {
    while (ready_.empty()) {
      if (!reader_) {
        if (index_ == archives_.size()) return std::nullopt;
        open();
      } else {
        read_entry(with_bytes);
      }
    }
    StreamedClip clip = std::move(ready_.front());
    ready_.pop_front();
    return clip;
  }

  void open() {
    reader_ = Archive(archive_read_new(), &archive_read_free);
    // Not filter_all: some filters would start a program, and the archive would choose which.
    for (const auto support :
         {archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_xz,
          archive_read_support_filter_zstd, archive_read_support_filter_lz4})
      support(reader_.get());
    archive_read_support_format_tar(reader_.get());
    if (archive_read_open_filename(reader_.get(), archives_[index_].c_str(), kBlockBytes) != ARCHIVE_OK) fail();
  }

  /// Reads one member's header and, where it is needed, its content. The member that begins the next clip stays
  /// pending until that clip is asked for: only then is it known whether its content is.
  void read_entry(bool with_bytes) {
    if (!pending_) {
      const int status = archive_read_next_header(reader_.get(), &pending_);
      if (status == ARCHIVE_EOF) return close();
      if (status <= ARCHIVE_FAILED) return fail();
      read_ = bytes_before_ +
              static_cast<std::uint64_t>(std::max<std::int64_t>(archive_filter_bytes(reader_.get(), -1), 0));
    }
    if (archive_entry_filetype(pending_) != AE_IFREG || !archive_entry_pathname(pending_)) {
      pending_ = nullptr;
      return;
    }
    const std::string path = archive_entry_pathname(pending_);
    const MemberName name(path);
    if (name.key != group_.key) {
      finish_group();
      group_.key = name.key;
      if (!ready_.empty()) return;
    }
    pending_ = nullptr;
    if (group_.audio_name.empty() && audio::has_audio_extension("x." + name.extension)) {
      group_.audio_name = path;
      if (with_bytes) group_.audio = read_content(kMaxAudioBytes);
    } else if (with_bytes && name.extension == "json") {
      const std::string found = json_labels(read_content(kMaxLabelBytes));
      if (!found.empty()) group_.labels = found;
    } else if (with_bytes && (name.extension == "cls" || name.extension == "txt")) {
      const std::string found = trimmed(read_content(kMaxLabelBytes));
      if (group_.labels.empty()) group_.labels = found;
    }
  }

  /// The labels in a clip's JSON. One that cannot be read names none: the audio is worth more than its labels.
  static std::string json_labels(const std::string& text) {
    try {
      check_json_depth(text, "labels");
    } catch (const Error&) {
      return "";
    }
    return labels_of(nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false));
  }

  std::string read_content(std::uint64_t limit) {
    std::string content, block(kBlockBytes, '\0');
    la_ssize_t got = 0;
    while ((got = archive_read_data(reader_.get(), block.data(), block.size())) > 0) {
      content.append(block.data(), static_cast<std::size_t>(got));
      if (content.size() > limit) break;
    }
    if (got != 0) group_.failure = got < 0 ? archive_reason() : str("larger than ", limit >> 20, " MiB");
    return content;
  }

  std::string archive_reason() const {
    const char* reason = archive_error_string(reader_.get());
    return reason ? reason : "damaged";
  }

  void finish_group() {
    Group group = std::exchange(group_, Group{});
    if (group.audio_name.empty()) return;
    const fs::path path = archives_[index_] / group.audio_name;
    if (!group.failure.empty()) group.failure = str(path.string(), ": ", group.failure);
    ready_.push_back({{group.key, path, {}, group.labels}, std::move(group.audio), group.failure});
  }

  void fail() {
    const fs::path& path = archives_[index_];
    const std::string reason = str(path.string(), ": cannot be read on (", archive_reason(), ")");
    finish_group();
    ready_.push_back({{path.filename().string(), path, {}, ""}, std::nullopt, reason});
    close();
  }

  void close() {
    finish_group();
    pending_ = nullptr;
    reader_.reset();
    bytes_before_ += fs::file_size(archives_[index_++]);
    read_ = bytes_before_;
  }

  std::vector<fs::path> archives_;
  std::size_t index_ = 0;
  std::uint64_t bytes_ = 0, bytes_before_ = 0;
  std::atomic<std::uint64_t> read_{0};
  Archive reader_{nullptr, &archive_read_free};
  archive_entry* pending_ = nullptr;
  Group group_;
  std::deque<StreamedClip> ready_;
};

}  // namespace

std::unique_ptr<ClipStream> stream_tars(const std::vector<fs::path>& inputs) {
  AXLSTM_CHECK(!inputs.empty(), "no tar archives are named");
  return std::make_unique<TarStream>(find_archives(inputs));
}

}  // namespace axlstm::data
