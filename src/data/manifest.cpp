#include "axlstm/data/manifest.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/json_depth.h"
#include "axlstm/core/log.h"
#include "labels.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> audio_files(const fs::path& root) {
  std::error_code failure;
  AXLSTM_CHECK(fs::is_directory(root, failure), root.string(), ": no such folder (data.root)");
  return audio::list_audio_files(root);
}

double parse_seconds(const std::string& text, const std::string& where) {
  double value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  AXLSTM_CHECK(status == std::errc() && end == text.data() + text.size() && value >= 0, where, ": '", text,
               "' is not a time in seconds");
  return value;
}

/// Names of a column or a JSON key; the first that is there is taken.
using Names = std::span<const char* const>;
constexpr const char* kPath[] = {"path", "file", "audio_filepath"};
constexpr const char* kId[] = {"id", "YTID"};
constexpr const char* kStart[] = {"start_seconds", "start", "offset"};
constexpr const char* kEnd[] = {"end_seconds", "end"};
constexpr const char* kDuration[] = {"duration_seconds", "duration"};
constexpr const char* kLabels[] = {"labels", "label", "positive_labels"};

/// Position of the first of `names` among the header's columns.
std::optional<std::size_t> column(const std::vector<std::string>& header, Names names) {
  for (const char* name : names) {
    const auto found = std::find(header.begin(), header.end(), name);
    if (found != header.end()) return static_cast<std::size_t>(found - header.begin());
  }
  return std::nullopt;
}

audio::Segment segment_of(std::optional<double> start, std::optional<double> end, std::optional<double> duration,
                          const std::string& where) {
  audio::Segment segment;
  if (start) segment.start_seconds = *start;
  if (duration) segment.duration_seconds = *duration;
  AXLSTM_CHECK(segment.start_seconds >= 0, where, ": the clip starts at ", segment.start_seconds, " s");
  if (end) segment.duration_seconds = *end - segment.start_seconds;
  AXLSTM_CHECK(!(end || duration) || segment.duration_seconds > 0, where, ": the clip ends before it starts");
  return segment;
}

/// Finds the audio of AudioSet rows among the files under a folder, as the usual downloaders name them.
class AudioIndex {
 public:
  explicit AudioIndex(const fs::path& root) {
    for (const fs::path& file : audio_files(root)) by_name_.emplace(file.filename().string(), file);
  }

  std::optional<fs::path> find(const std::string& id, double start_seconds) const {
    for (const std::string& stem : {id, "Y" + id}) {
      // <id>.*: whole names, for some have further dots, such as <id>.mp4.wav
      if (const auto exact = by_name_.lower_bound(stem + "."); has_prefix(exact, stem + ".")) return exact->second;
      // <id>_<start>…: the start in seconds or milliseconds, whatever follows
      const std::string prefix = stem + "_";
      for (auto at = by_name_.lower_bound(prefix); has_prefix(at, prefix); ++at) {
        double start = -1;
        std::from_chars(at->first.data() + prefix.size(), at->first.data() + at->first.size(), start,
                        std::chars_format::fixed);
        if (std::abs(start - start_seconds) < 0.5 || std::abs(start - 1000 * start_seconds) < 0.5) return at->second;
      }
    }
    return std::nullopt;
  }

 private:
  using Files = std::map<std::string, fs::path>;

  bool has_prefix(Files::const_iterator at, const std::string& prefix) const {
    return at != by_name_.end() && at->first.starts_with(prefix);
  }

  Files by_name_;
};

Manifest read_audioset(const std::vector<CsvRow>& rows, const fs::path& path, const DataOptions& options) {
  AXLSTM_CHECK(!options.root.empty(), path.string(),
               ": lists YouTube ids without paths; name the folder of their audio with data.root");
  const AudioIndex index(expand_home(options.root));
  Manifest manifest;
  for (const CsvRow& row : rows) {
    if (row.fields.front().rfind('#', 0) == 0) continue;
    const std::string where = str(path.string(), ":", row.line);
    AXLSTM_CHECK(row.fields.size() >= 3 && !row.fields.front().empty(), where,
                 ": expected 'YTID, start_seconds, end_seconds, positive_labels'");
    const std::string& id = row.fields[0];
    // A matched file is the cut segment already, as downloaders write it: all of it is the clip.
    if (const auto file = index.find(id, parse_seconds(row.fields[1], where))) {
      manifest.clips.push_back({id, *file, {}, row.fields.size() > 3 ? row.fields[3] : std::string()});
    } else {
      manifest.unmatched.push_back(id);
    }
  }
  return manifest;
}

Manifest read_table(const std::vector<CsvRow>& rows, const fs::path& path, const fs::path& base) {
  std::vector<std::string> header = rows.front().fields;
  for (std::string& name : header) name.erase(0, name.find_first_not_of("# "));
  const auto path_column = column(header, kPath);
  AXLSTM_CHECK(path_column, path.string(), ":1: the header has no column 'path' (and is not AudioSet's '# YTID, …')");
  const auto id = column(header, kId);
  const auto start = column(header, kStart);
  const auto end = column(header, kEnd);
  const auto duration = column(header, kDuration);
  const auto labels = column(header, kLabels);
  Manifest manifest;
  for (std::size_t index = 1; index < rows.size(); ++index) {
    const auto& fields = rows[index].fields;
    const std::string where = str(path.string(), ":", rows[index].line);
    AXLSTM_CHECK(fields.size() == header.size(), where, ": ", fields.size(), " fields, the header has ", header.size());
    const auto seconds = [&](std::optional<std::size_t> at) {
      return at && !fields[*at].empty() ? std::optional(parse_seconds(fields[*at], where)) : std::nullopt;
    };
    const std::string& file = fields[*path_column];
    AXLSTM_CHECK(!file.empty(), where, ": the path is empty");
    manifest.clips.push_back({id ? fields[*id] : file, base / file,
                              segment_of(seconds(start), seconds(end), seconds(duration), where),
                              labels ? fields[*labels] : std::string()});
  }
  return manifest;
}

/// Value of the first of `names` that `row` has; null is as good as absent.
template <typename Value>
std::optional<Value> json_value(const nlohmann::json& row, Names names) {
  for (const char* name : names) {
    if (row.contains(name) && !row.at(name).is_null()) return row.at(name).get<Value>();
  }
  return std::nullopt;
}

Manifest read_jsonl(const std::string& text, const fs::path& path, const fs::path& base) {
  Manifest manifest;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = str(path.string(), ":", number);
    check_json_depth(line, where);
    try {
      const auto row = nlohmann::json::parse(line);
      const auto file = json_value<std::string>(row, kPath);
      AXLSTM_CHECK(file, where, ": expected a JSON object with \"path\"");
      AXLSTM_CHECK(!file->empty(), where, ": the path is empty");
      manifest.clips.push_back({json_value<std::string>(row, kId).value_or(*file), base / *file,
                                segment_of(json_value<double>(row, kStart), json_value<double>(row, kEnd),
                                           json_value<double>(row, kDuration), where),
                                labels_of(row)});
    } catch (const nlohmann::json::exception& failure) {
      throw Error(str(where, ": expected a JSON object with \"path\" (", failure.what(), ")"));
    }
  }
  return manifest;
}

}  // namespace

Manifest load_manifest(const DataOptions& options) {
  if (options.root.empty() && options.manifest.empty()) {
    throw UsageError(
        "no training data: set data.root=FOLDER (all audio under it), data.manifest=FILE.csv or data.packed=FOLDER");
  }
  Manifest manifest;
  if (options.manifest.empty()) {
    const fs::path root = expand_home(options.root);
    for (const fs::path& file : audio_files(root))
      manifest.clips.push_back({file.lexically_relative(root).string(), file, {}});
    manifest.source = root.string();
    AXLSTM_CHECK(!manifest.clips.empty(), root.string(),
                 ": no audio under this folder (data.root); .wav .flac .ogg .opus .mp3 and the like are taken");
    return manifest;
  }
  const fs::path path = expand_home(options.manifest);
  std::error_code ignored;
  AXLSTM_CHECK(fs::exists(path, ignored), path.string(), ": no such file (data.manifest)");
  const std::string text = read_file(path);
  const fs::path base = options.root.empty() ? path.parent_path() : expand_home(options.root);
  if (path.extension() == ".jsonl" || path.extension() == ".json") {
    manifest = read_jsonl(text, path, base);
  } else {
    const auto rows = parse_csv(text, path.string());
    AXLSTM_CHECK(!rows.empty(), path.string(), ": is empty");
    // AudioSet's own files begin with comments and have no path column.
    const bool has_path = column(rows.front().fields, kPath).has_value();
    const bool is_audioset = !has_path && rows.front().fields.front().rfind('#', 0) == 0;
    manifest = is_audioset ? read_audioset(rows, path, options) : read_table(rows, path, base);
  }
  manifest.source = path.string();
  AXLSTM_CHECK(!manifest.clips.empty(), path.string(), ": names no clip whose audio could be found",
               manifest.unmatched.empty()
                   ? ""
                   : str(" (", manifest.unmatched.size(), " rows have no file under ", options.root, ")"));
  return manifest;
}

void report_unmatched(const std::vector<std::string>& ids, const fs::path& folder) {
  if (ids.empty()) return;
  std::string list;
  for (const std::string& id : ids) list += id + "\n";
  write_file_atomic(folder / "unmatched.txt", list);
  log::warn(str(ids.size(), " rows of the manifest have no audio file; their ids are in ",
                (folder / "unmatched.txt").string()));
}

}  // namespace axlstm::data
