#include "axlstm/data/manifest.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <thread>

#include "axlstm/audio/file_names.h"
#include "axlstm/core/cores.h"
#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/json_depth.h"
#include "axlstm/core/log.h"
#include "axlstm/core/ordered_parallel.h"
#include "labels.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> audio_files(const fs::path& root) {
  std::error_code failure;
  if (!fs::is_directory(root, failure)) throw UsageError(root.string() + ": no such folder (data.root)");
  audio::AudioFiles found = audio::list_audio_files(root);
  if (!found.passed_over.empty()) log::warn(str(root.string(), ": passed over ", found.passed_over.description()));
  return std::move(found.files);
}

constexpr std::size_t kLinesBytes = 1 << 20;

/// A line of a list, for messages: written out only where there is one.
struct Place {
  const fs::path& file;
  int line;
};

std::ostream& operator<<(std::ostream& out, const Place& place) {
  return out << place.file.string() << ":" << place.line;
}

double parse_seconds(const std::string& text, const Place& where) {
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
                          const Place& where) {
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

Manifest read_audioset(CsvReader& rows, const fs::path& path, const DataOptions& options) {
  AXLSTM_CHECK(!options.root.empty(), path.string(),
               ": lists YouTube ids without paths; name the folder of their audio with data.root");
  const AudioIndex index(expand_home(options.root));
  Manifest manifest;
  while (const auto row = rows.next()) {
    const auto& fields = row->fields;
    if (fields.front().starts_with('#')) continue;
    const Place where{path, row->line};
    AXLSTM_CHECK(fields.size() >= 3 && !fields.front().empty(), where,
                 ": expected 'YTID, start_seconds, end_seconds, positive_labels'");
    const std::string& id = fields[0];
    // A matched file is the cut segment already, as downloaders write it: all of it is the clip.
    if (const auto file = index.find(id, parse_seconds(fields[1], where))) {
      manifest.clips.add(file->string(), id, {}, fields.size() > 3 ? fields[3] : std::string());
    } else {
      manifest.unmatched.push_back(id);
    }
  }
  return manifest;
}

Manifest read_table(CsvReader& rows, std::vector<std::string> header, const fs::path& path, const fs::path& base) {
  for (std::string& name : header) name.erase(0, name.find_first_not_of("# "));
  const auto path_column = column(header, kPath);
  AXLSTM_CHECK(path_column, path.string(), ":1: the header has no column 'path' (and is not AudioSet's '# YTID, …')");
  const auto id = column(header, kId);
  const auto start = column(header, kStart);
  const auto end = column(header, kEnd);
  const auto duration = column(header, kDuration);
  const auto labels = column(header, kLabels);
  Manifest manifest{ClipList(base), {}, {}};
  while (const auto row = rows.next()) {
    const auto& fields = row->fields;
    const Place where{path, row->line};
    AXLSTM_CHECK(fields.size() == header.size(), where, ": ", fields.size(), " fields, the header has ", header.size());
    const auto seconds = [&](std::optional<std::size_t> at) {
      return at && !fields[*at].empty() ? std::optional(parse_seconds(fields[*at], where)) : std::nullopt;
    };
    const std::string& file = fields[*path_column];
    AXLSTM_CHECK(!file.empty(), where, ": the path is empty");
    manifest.clips.add(file, id ? fields[*id] : file,
                       segment_of(seconds(start), seconds(end), seconds(duration), where),
                       labels ? fields[*labels] : std::string());
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

struct Row {
  std::string path, id;
  audio::Segment segment;
  std::string labels;
};

Row parse_line(std::string_view line, const Place& where) {
  check_json_depth(line, str(where));
  try {
    const auto row = nlohmann::json::parse(line);
    const auto file = json_value<std::string>(row, kPath);
    AXLSTM_CHECK(file, where, ": expected a JSON object with \"path\"");
    AXLSTM_CHECK(!file->empty(), where, ": the path is empty");
    return {*file, json_value<std::string>(row, kId).value_or(*file),
            segment_of(json_value<double>(row, kStart), json_value<double>(row, kEnd),
                       json_value<double>(row, kDuration), where),
            labels_of(row)};
  } catch (const nlohmann::json::exception& failure) {
    throw Error(str(where, ": expected a JSON object with \"path\" (", failure.what(), ")"));
  }
}

/// Some whole lines of a list.
struct Lines {
  std::string_view text;
  int first;  ///< counted from 1
};

/// By all cores: JSON takes three microseconds a line, and there are lists of millions.
Manifest read_jsonl(std::string_view text, const fs::path& path, const fs::path& base) {
  Manifest manifest{ClipList(base), {}, {}};
  const std::size_t threads =
      std::clamp<std::size_t>(text.size() / kLinesBytes, 1, static_cast<std::size_t>(allowed_cores()));
  int line = 1;
  ordered_parallel<Lines, std::vector<Row>>(
      [&]() -> std::optional<Lines> {
        if (text.empty()) return std::nullopt;
        const std::size_t end = text.find('\n', std::min(kLinesBytes, text.size() - 1));
        const Lines lines{text.substr(0, end == std::string_view::npos ? end : end + 1), line};
        text.remove_prefix(lines.text.size());
        line += static_cast<int>(std::count(lines.text.begin(), lines.text.end(), '\n'));
        return lines;
      },
      [&](Lines&& lines) {
        std::vector<Row> rows;
        for (int number = lines.first; !lines.text.empty(); ++number) {
          const std::string_view one = lines.text.substr(0, lines.text.find('\n'));
          lines.text.remove_prefix(std::min(one.size() + 1, lines.text.size()));
          if (one.find_first_not_of(" \t\r") != std::string_view::npos)
            rows.push_back(parse_line(one, Place{path, number}));
        }
        return rows;
      },
      [&](std::vector<Row>&& rows) {
        for (const Row& row : rows) manifest.clips.add(row.path, row.id, row.segment, row.labels);
        return true;
      },
      threads, 2 * threads);
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
    manifest.clips = ClipList(root);
    for (const fs::path& file : audio_files(root)) manifest.clips.add(file.lexically_relative(root).string());
    manifest.source = root.string();
    if (manifest.clips.empty()) {
      throw UsageError(root.string() +
                       ": no audio under this folder (data.root); .wav .flac .ogg .opus .mp3 and the like are taken");
    }
    return manifest;
  }
  const fs::path path = expand_home(options.manifest);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw UsageError(path.string() + ": no such file (data.manifest)");
  const std::string text = read_file(path);
  const fs::path base = options.root.empty() ? path.parent_path() : expand_home(options.root);
  if (path.extension() == ".jsonl" || path.extension() == ".json") {
    manifest = read_jsonl(text, path, base);
  } else {
    CsvReader rows(text, path.string());
    const auto first = rows.next();
    AXLSTM_CHECK(first, path.string(), ": is empty");
    // AudioSet's own files begin with comments and have no path column.
    const bool is_audioset = !column(first->fields, kPath) && first->fields.front().starts_with('#');
    manifest = is_audioset ? read_audioset(rows, path, options) : read_table(rows, first->fields, path, base);
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
