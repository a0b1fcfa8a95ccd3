// Tar and zip archives as a stream of clips.
#include <algorithm>
#include <atomic>
#include <deque>
#include <set>
#include <unordered_map>

#include "archive_index.h"
#include "archive_reader.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/data/lists/clip_stream.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
// One clip in memory: a compressed archive can hold far more than its own size.
constexpr std::uint64_t kMaxAudioBytes = std::uint64_t{1} << 32;

/// .tar, .tar.gz, .tgz, .zip and the like.
bool is_archive_name(const fs::path& path) {
  static const std::set<std::string> alone{".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip"};
  static const std::set<std::string> compressed{".gz", ".bz2", ".xz", ".zst", ".lz4"};
  return alone.contains(path.extension().string()) ||
         (compressed.contains(path.extension().string()) && path.stem().extension() == ".tar");
}

std::vector<fs::path> archives_in(const fs::path& folder) {
  std::vector<fs::path> found, others;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path name = entry.path().filename();
    if (audio::is_litter(name) || !entry.is_regular_file(failure)) continue;
    if (is_archive_name(name)) found.push_back(entry.path());
    if (!is_archive_name(name) && name.string().find(".tar.") != std::string::npos) others.push_back(name);
  }
  AXLSTM_CHECK(!found.empty(), folder.string(), ": holds no tar archives (*.tar, *.tar.gz, *.tgz, *.zip, …)");
  std::sort(found.begin(), found.end());
  if (!others.empty())
    log::warn(str(folder.string(), ": passed over ", others.size(), " files that are no archives by their names (",
                  std::min_element(others.begin(), others.end())->string(), others.size() > 1 ? ", …)" : ")"));
  return found;
}

std::vector<fs::path> find_archives(const std::vector<fs::path>& inputs) {
  std::vector<fs::path> archives;
  for (const fs::path& input : inputs) {
    std::error_code failure;
    AXLSTM_CHECK(fs::exists(input, failure), input.string(), ": no such archive or folder");
    if (fs::is_directory(input, failure)) {
      const auto found = archives_in(input);
      archives.insert(archives.end(), found.begin(), found.end());
    } else {
      archives.push_back(input);
    }
  }
  std::set<fs::path> once;
  for (const fs::path& archive : archives)
    AXLSTM_CHECK(once.insert(archive.lexically_normal()).second, archive.string(), ": is named twice");
  return archives;
}

class TarStream final : public ClipStream {
 public:
  explicit TarStream(std::vector<fs::path> archives) : archives_(std::move(archives)) {
    for (const fs::path& path : archives_) bytes_ += fs::file_size(path);
  }

  std::optional<StreamedClip> next() override { return take(/*passing=*/0); }

  void skip(std::int64_t count) override {
    for (; count > 0 && take(count); --count) continue;
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

  audio::PassedOver passed_over() const override { return passed_over_; }

 private:
  /// The next clip; so many, it among them, are passed over and need no content.
  std::optional<StreamedClip> take(std::int64_t passing) {
    while (ready_.empty() && archive_ < archives_.size()) {
      try {
        if (!reader_) open();
        const auto member = reader_->next();
        read_ = bytes_before_ + reader_->position();
        member ? read(*member, passing) : close();
      } catch (const ReadError& failure) {
        const fs::path& path = archives_[archive_];
        ready_.push_back({{path.filename().string(), path, {}, ""},
                          std::nullopt,
                          str(path.string(), ": cannot be read on (", failure.what(), ")")});
        close();
      }
    }
    if (ready_.empty()) return std::nullopt;
    StreamedClip clip = std::move(ready_.front());
    ready_.pop_front();
    return clip;
  }

  void open() {
    const fs::path& path = archives_[archive_];
    index_ = std::make_unique<ArchiveIndex>(path);
    const audio::PassedOver& more = index_->passed_over();
    for (const auto& [extension, count] : more.by_extension) passed_over_.by_extension[extension] += count;
    for (const std::string& link : more.dead_links) passed_over_.dead_links.push_back((path / link).string());
    reader_ = std::make_unique<ArchiveReader>(path, kBlockBytes);
    position_ = 0;
    occurrences_.clear();
  }

  /// Adds the clips that a member is: under its own name, and under those of links to it.
  void read(const ArchiveMember& member, std::int64_t passing) {
    const std::vector<std::string>& links = index_->links_to(position_++);
    const bool is_clip = member.kind == ArchiveMember::Kind::kFile && is_clip_name(member.name);
    if (!is_clip && links.empty()) return;
    StreamedClip clip;
    if (static_cast<std::int64_t>(links.size()) + (is_clip ? 1 : 0) > passing) read_content(clip);
    if (is_clip) add(member.name, clip);
    for (const std::string& link : links) add(link, clip);
  }

  /// The member's content, or why it cannot be had.
  void read_content(StreamedClip& clip) {
    try {
      clip.bytes = reader_->content(kMaxAudioBytes);
      if (!clip.bytes) clip.failure = str("larger than ", kMaxAudioBytes >> 20, " MiB");
    } catch (const ReadError& failure) {
      clip.failure = failure.what();
    }
  }

  void add(const std::string& name, StreamedClip clip) {
    const std::size_t occurrence = index_->clips_of_name(name) > 1 ? occurrences_[name]++ : 0;
    clip.clip.path = archives_[archive_] / name;
    clip.clip.id = index_->clips_of_key(archive_key(name)) > 1 ? name : std::string(archive_key(name));
    if (occurrence > 0) clip.clip.id += str('#', occurrence + 1);
    const ArchiveIndex::Labels labels = index_->labels(name, occurrence);
    clip.clip.labels = labels.text;
    if (clip.failure.empty()) clip.failure = labels.failure;
    if (!clip.failure.empty()) clip.failure = str(clip.clip.path.string(), ": ", clip.failure);
    ready_.push_back(std::move(clip));
  }

  void close() {
    reader_.reset();
    index_.reset();
    bytes_before_ += fs::file_size(archives_[archive_++]);
    read_ = bytes_before_;
  }

  std::vector<fs::path> archives_;
  std::size_t archive_ = 0;   ///< the one being read
  std::size_t position_ = 0;  ///< of the next member in it
  std::uint64_t bytes_ = 0, bytes_before_ = 0;
  std::atomic<std::uint64_t> read_{0};
  std::unique_ptr<ArchiveIndex> index_;
  std::unique_ptr<ArchiveReader> reader_;
  std::unordered_map<std::string, std::size_t> occurrences_;  ///< so far, of names that the archive has several times
  audio::PassedOver passed_over_;
  std::deque<StreamedClip> ready_;
};

}  // namespace

std::unique_ptr<ClipStream> stream_tars(const std::vector<fs::path>& inputs) {
  AXLSTM_CHECK(!inputs.empty(), "no tar archives are named");
  return std::make_unique<TarStream>(find_archives(inputs));
}

}  // namespace axlstm::data
