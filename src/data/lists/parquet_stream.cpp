#include "axlstm/data/lists/parquet_stream.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <unordered_map>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "parquet_rows.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (auto at = fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink);
       at != fs::recursive_directory_iterator(); ++at) {
    std::error_code failure;
    if (audio::is_litter(at->path().filename())) {
      at.disable_recursion_pending();
    } else if (at->path().extension() == ".parquet" && at->is_regular_file(failure)) {
      found.push_back(at->path());
    }
  }
  AXLSTM_CHECK(!found.empty(), folder.string(), ": holds no *.parquet");
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> find_files(const std::vector<fs::path>& inputs) {
  std::vector<fs::path> files;
  for (const fs::path& input : inputs) {
    std::error_code failure;
    AXLSTM_CHECK(fs::exists(input, failure), input.string(), ": no such file or folder");
    const auto found = fs::is_directory(input, failure) ? files_in(input) : std::vector{input};
    files.insert(files.end(), found.begin(), found.end());
  }
  std::set<fs::path> once;
  for (const fs::path& file : files)
    AXLSTM_CHECK(once.insert(file.lexically_normal()).second, file.string(), ": is named twice");
  return files;
}

class ParquetStream final : public ClipStream {
 public:
  ParquetStream(const std::vector<fs::path>& paths, ParquetColumns columns, fs::path root)
      : columns_(std::move(columns)), root_(std::move(root)) {
    for (const fs::path& path : paths) {
      File file{path, 1, ""};  // one that is damaged is one clip that cannot be had
      try {
        file.rows = ParquetRows(path, columns_).size();
      } catch (const UsageError&) {
        throw;
      } catch (const Error& failure) {
        file.failure = str(path.string(), ": ", failure.what());
      }
      total_ += file.rows;
      files_.push_back(file);
    }
  }

  std::optional<StreamedClip> next() override { return take(/*with_audio=*/true); }

  void skip(std::int64_t count) override {
    while (count-- > 0 && take(/*with_audio=*/false)) continue;
  }

  double done() const override { return total_ == 0 ? 1 : static_cast<double>(taken_) / static_cast<double>(total_); }

  std::string fingerprint() const override {
    std::string list = str(columns_.audio, '\n', columns_.id, '\n', columns_.labels, '\n');
    for (const File& file : files_)
      list += str(file.path.filename().string(), ' ', fs::file_size(file.path), ' ', file.rows, '\n');
    return fnv1a64_hex(list);
  }

  std::string description() const override {
    return str(files_.front().path.string(),
               files_.size() > 1 ? str(" and ", files_.size() - 1, " more Parquet files") : "", " (", total_, " rows)");
  }

 private:
  struct File {
    fs::path path;
    std::int64_t rows;
    std::string failure;
  };

  std::optional<StreamedClip> take(bool with_audio) {
    while (file_ < files_.size() && row_ == files_[file_].rows) {
      ++file_;
      row_ = damaged_end_ = 0;
      rows_.reset();
    }
    if (file_ == files_.size()) return std::nullopt;
    const File& file = files_[file_];
    StreamedClip clip;
    clip.clip.path = file.path;
    if (file.failure.empty()) {
      read(file, with_audio, clip);
    } else {
      clip.clip.id = file.path.filename().string();
      clip.failure = file.failure;
    }
    ++row_;
    ++taken_;
    return clip;
  }

  void read(const File& file, bool with_audio, StreamedClip& clip) {
    const std::string place = str(file.path.string(), ": row ", row_);
    ParquetRow row;
    std::string reason;
    if (with_audio && row_ >= damaged_end_) {
      reason = try_to_read(file, /*with_audio=*/true, row);
      // What follows in a row group cannot be had either, but for its ids.
      if (!reason.empty()) {
        damaged_end_ = rows_ ? rows_->group_end(row_) : row_ + 1;
        damage_ = reason;
      }
    }
    if (row_ < damaged_end_) reason = damage_;
    std::string light_reason;
    if (!with_audio || !reason.empty()) light_reason = try_to_read(file, /*with_audio=*/false, row);
    if (light_reason.empty()) {
      clip.clip.id = unique(row.id.empty() ? name_of(file, row) : row.id);
      clip.clip.labels = row.labels;
    } else {
      clip.clip.id = str(file.path.stem().string(), ':', row_);
    }
    if (!reason.empty()) {
      clip.failure = str(place, " (", clip.clip.id, "): ", reason);
    } else if (with_audio && row.bytes) {
      clip.bytes = std::move(row.bytes);
      clip.clip.path /= row.path.empty() ? clip.clip.id : row.path;
    } else if (with_audio && row.path.empty()) {
      clip.failure = str(place, " (", clip.clip.id, "): has neither bytes nor a path of audio");
    } else if (with_audio) {
      clip.clip.path = (root_.empty() ? file.path.parent_path() : root_) / row.path;
    }
  }

  /// Why the row cannot be read; empty if it was.
  std::string try_to_read(const File& file, bool with_audio, ParquetRow& row) {
    try {
      if (!rows_) rows_ = std::make_unique<ParquetRows>(file.path, columns_);
      row = rows_->at(row_, with_audio);
      return "";
    } catch (const Error& failure) {
      return failure.what();
    }
  }

  std::string name_of(const File& file, const ParquetRow& row) const {
    return row.path.empty() ? str(file.path.stem().string(), ':', row_) : row.path;
  }

  std::string unique(const std::string& id) {
    const std::uint32_t before = ids_[fnv1a64(id)]++;
    return before == 0 ? id : str(id, '#', before + 1);
  }

  ParquetColumns columns_;
  fs::path root_;
  std::vector<File> files_;
  std::int64_t total_ = 0;
  std::atomic<std::int64_t> taken_{0};
  std::size_t file_ = 0;
  std::int64_t row_ = 0;          ///< the next one of that file
  std::int64_t damaged_end_ = 0;  ///< the audio of rows before this one cannot be had
  std::string damage_;
  std::unique_ptr<ParquetRows> rows_;
  std::unordered_map<std::uint64_t, std::uint32_t> ids_;  ///< how often each was there so far
};

}  // namespace

std::unique_ptr<ClipStream> stream_parquet(const std::vector<fs::path>& inputs, const ParquetColumns& columns,
                                           const fs::path& root) {
  AXLSTM_CHECK(!inputs.empty(), "no Parquet files are named");
  return std::make_unique<ParquetStream>(find_files(inputs), columns, root);
}

}  // namespace axlstm::data
