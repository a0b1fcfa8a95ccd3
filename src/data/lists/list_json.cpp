// Lists in JSON: a row a line, or one document.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/core/ordered_parallel.h"
#include "core/json.h"
#include "labels.h"
#include "list_columns.h"
#include "list_formats.h"

namespace axlstm::data {
namespace {

using nlohmann::json;

constexpr std::size_t kLinesBytes = 1 << 20;
constexpr const char* kNoRow = "expected a JSON object with \"path\"";
constexpr std::string_view kSpaces = " \t\r\n";

struct Row {
  std::string path, id;
  audio::Segment segment;
  std::string labels;
};

std::string text_of(const json& value, const std::string& name, const Place& where) {
  if (value.is_number_integer()) return value.dump();
  AXLSTM_CHECK(value.is_string(), where, ": '", name, "' is no text");
  return value.get<std::string>();
}

std::optional<double> seconds_of(const json& row, const std::vector<std::string>& names, const Columns::Time& time,
                                 const Place& where) {
  if (!time.at) return std::nullopt;
  const json& value = row.at(names[*time.at]);
  if (value.is_string()) return time.seconds * parse_seconds(value.get_ref<const std::string&>(), where);
  AXLSTM_CHECK(value.is_number(), where, ": '", names[*time.at], "' is no time in seconds");
  return time.seconds * value.get<double>();
}

/// The file of one of Lhotse's recordings.
std::string lhotse_source(const json& recording, const Place& where) {
  const auto transforms = recording.find("transforms");
  AXLSTM_CHECK(transforms == recording.end() || transforms->empty(), where,
               ": the recording has transforms, which are not applied; save the audio as it is meant (save_audios)");
  const json& sources = recording.at("sources");
  AXLSTM_CHECK(sources.is_array() && sources.size() == 1, where, ": the recording has ", sources.size(),
               " sources; one file is needed");
  const json& source = sources.front();
  const std::string type = source.value("type", "");
  AXLSTM_CHECK(type == "file", where, ": a source of type '", type, "' is not read; save the audio to files");
  return source.at("source").get<std::string>();
}

/// A cut, or a recording: its own length is that of the file and says nothing.
std::optional<Row> lhotse_row(const json& row, const Place& where) {
  const std::string type = row.contains("type") && row.at("type").is_string() ? row.at("type").get<std::string>() : "";
  AXLSTM_CHECK(type != "MixedCut" && type != "PaddingCut" && type != "MultiCut", where, ": a ", type,
               " is not read, only what is a part of one recording (MonoCut)");
  if (row.contains("sources") && row.at("sources").is_array())
    return Row{lhotse_source(row, where), text_of(row.at("id"), "id", where), {}, ""};
  if (!row.contains("recording") || !row.at("recording").is_object()) return std::nullopt;
  return Row{lhotse_source(row.at("recording"), where), text_of(row.at("id"), "id", where),
             segment_of(row.at("start").get<double>(), std::nullopt, row.at("duration").get<double>(), where),
             labels_of(row)};
}

std::vector<std::string> keys_of(const json& row) {
  std::vector<std::string> names;
  for (const auto& [name, value] : row.items()) names.push_back(name);
  return names;
}

/// `id`: what the row is called by if it does not say so itself.
Row parse_row(const json& row, const Place& where, const std::string& id = "") {
  AXLSTM_CHECK(row.is_object(), where, ": ", kNoRow);
  if (auto lhotse = lhotse_row(row, where)) return *lhotse;
  const std::vector<std::string> names = keys_of(row);
  const auto columns = [&] {
    try {
      return Columns(names, [&](std::size_t n) { return !row.at(names[n]).is_null(); });
    } catch (const Error& failure) {
      throw Error(str(where, ": ", failure.what()));
    }
  }();
  AXLSTM_CHECK(columns.path, where,
               ": expected a JSON object with \"path\" (or \"file\", \"audio_filepath\", "
               "\"file_name\", \"wav\", \"audio\", … docs/data.md); its keys: ",
               quoted_names(names));
  const json* file = &row.at(names[*columns.path]);
  // As datasets' Audio feature is written out: {"path": …, "array": …}.
  if (file->is_object() && file->contains("path")) file = &file->at("path");
  AXLSTM_CHECK(file->is_string(), where, ": '", names[*columns.path], "' is no path");
  const std::string path = file->get<std::string>();
  const auto time = [&](const Columns::Time& one) { return seconds_of(row, names, one, where); };
  return {local_path(path, where),
          columns.id   ? text_of(row.at(names[*columns.id]), names[*columns.id], where)
          : id.empty() ? path
                       : id,
          segment_of(time(columns.start), time(columns.end), time(columns.duration), where), labels_of(row)};
}

/// The same with what the JSON library finds wrong.
Row row_of(const json& row, const Place& where, const std::string& id = "") {
  try {
    return parse_row(row, where, id);
  } catch (const json::exception& failure) {
    throw Error(str(where, ": ", kNoRow, " (", failure.what(), ")"));
  }
}

Row parse_line(std::string_view line, const Place& where) {
  return row_of(parse_json(line, str(where), kNoRow), where);
}

/// Some whole lines of a list.
struct Lines {
  std::string_view text;
  int first;  ///< counted from 1
};

/// By all cores: JSON takes three microseconds a line, and there are lists of millions.
Manifest read_lines(const List& list) {
  Manifest manifest{ClipList(list.base), {}, {}};
  std::string_view text = list.text;
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
          if (one.find_first_not_of(kSpaces) != std::string_view::npos)
            rows.push_back(parse_line(one, Place{list.path, number}));
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

/// Takes the rows out of a document while it is parsed, so that it is never in memory as a whole.
class Document {
 public:
  explicit Document(const List& list) : list_(list), manifest_{ClipList(list.base), {}, {}} {}

  Manifest read() {
    const std::string name = list_.path.string();
    const std::size_t first = list_.text.find_first_not_of(kSpaces);
    top_is_array_ = first != std::string_view::npos && list_.text[first] == '[';
    const json rest =
        parse_json(list_.text, name, "is no JSON",
                   [&](int depth, json::parse_event_t event, json& value) { return keep(depth, event, value); });
    if (entries_ == 0 && rest.is_object() && !rest.empty()) add(rest, "");  // one clip
    AXLSTM_CHECK(!named_ || other_.empty(), name, ": '", other_, "' names no file, unlike the entries beside it");
    return std::move(manifest_);
  }

 private:
  /// Called for each part of the document; false for what was taken.
  bool keep(int depth, json::parse_event_t event, json& value) {
    using Event = json::parse_event_t;
    if (event == Event::key && depth == 1) key_ = value.get<std::string>();
    if (depth == 1 && (event == Event::array_start || event == Event::array_end))
      in_list_ = event == Event::array_start;
    if (top_is_array_) return depth != 1 || !(event == Event::object_end || event == Event::value) || !add(value, "");
    if (event != Event::object_end || depth != (in_list_ ? 2 : 1)) return true;
    return in_list_ ? !take_of_list(value) : !take_named(value);
  }

  bool take_of_list(const json& value) {
    if (key_ == "sources" || key_ == "supervisions") return false;  // lists within one row of Lhotse's
    if (list_key_.empty()) list_key_ = key_;
    AXLSTM_CHECK(list_key_ == key_, list_.path.string(), ": has lists under '", list_key_, "' and '", key_,
                 "', and which is meant is not clear; keep one");
    return add(value, "");
  }

  /// {id: clip}; other objects, such as "info", are not clips, nor are parts of a single one.
  bool take_named(const json& value) {
    if (key_ == "recording" || Columns({key_}).path) return false;
    const bool is_clip = value.contains("sources") || value.contains("recording") || Columns(keys_of(value)).path;
    if (!is_clip && other_.empty()) other_ = key_;
    named_ = named_ || is_clip;
    return is_clip && add(value, key_);
  }

  bool add(const json& value, const std::string& id) {
    const Place where{list_.path, ++entries_, /*is_entry=*/true};
    const Row row = value.is_string()
                        ? Row{local_path(value.get<std::string>(), where), value.get<std::string>(), {}, ""}
                        : row_of(value, where, id);
    manifest_.clips.add(row.path, row.id, row.segment, row.labels);
    return true;
  }

  const List& list_;
  Manifest manifest_;
  bool top_is_array_ = false, in_list_ = false, named_ = false;
  std::string key_, list_key_;  ///< of the top object: the last one, and the one whose list is taken
  std::string other_;           ///< the first of its keys whose object is no clip
  int entries_ = 0;
};

std::string_view next_line(std::string_view& text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(kSpaces) != std::string_view::npos) return line;
  }
  return {};
}

/// Whether each line is a row: in .jsonl and the like, unless the first is only the beginning of something, and
/// elsewhere if the first line is whole and another follows.
bool is_lines(const List& list) {
  std::string_view rest = list.text;
  std::string_view first = next_line(rest);
  first.remove_prefix(std::min(first.find_first_not_of(kSpaces), first.size()));
  first = first.substr(0, first.find_last_not_of(kSpaces) + 1);
  const std::string ending = list.path.extension().string();
  if (ending == ".jsonl" || ending == ".ndjson") return first != "{" && !first.starts_with("[");
  const std::string_view second = next_line(rest);
  constexpr std::size_t kLongestRow = 1 << 20;
  return first.starts_with("{") && !second.empty() && first.size() < kLongestRow && first.ends_with("}");
}

}  // namespace

Manifest read_json(const List& list) { return is_lines(list) ? read_lines(list) : Document(list).read(); }

}  // namespace axlstm::data
