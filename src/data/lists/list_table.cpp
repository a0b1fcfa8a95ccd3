// Tables with a header: CSV, TSV and the like; AudioSet's and VGGSound's lists of YouTube ids.
#include <algorithm>
#include <charconv>

#include "axlstm/audio/file_names.h"
#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "files_by_id.h"
#include "list_columns.h"
#include "list_formats.h"

namespace axlstm::data {
namespace {

constexpr std::string_view kDelimiters = "\t;|,";

/// How often `c` is in a line, quoted parts left out.
std::size_t count_unquoted(std::string_view line, char c) {
  bool quoted = false;
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [&](char at) {
    if (at == '"') quoted = !quoted;
    return at == c && !quoted;
  }));
}

/// What divides the columns: the one that is most often in the first line that is no comment.
char delimiter_of(std::string_view text) {
  std::string_view line;
  do {
    line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  } while (!text.empty() && (line.starts_with('#') || line.find_first_not_of(" \t\r") == std::string_view::npos));
  char best = ',';
  std::size_t most = 0;
  for (const char c : kDelimiters) {
    const std::size_t count = count_unquoted(line, c);
    if (count > most) {
      most = count;
      best = c;
    }
  }
  return best;
}

bool is_number(std::string_view text) {
  double value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  return status == std::errc() && end == text.data() + text.size();
}

bool is_youtube_id(std::string_view text) {
  constexpr std::size_t kLetters = 11;
  return text.size() == kLetters &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
}

std::vector<std::string> without_hash(std::vector<std::string> names) {
  names.front().erase(0, names.front().find_first_not_of("# "));
  return names;
}

/// Columns of lists without a header that are known by their first row.
std::optional<std::vector<std::string>> headerless(const std::vector<std::string>& fields) {
  if (fields.size() < 3 || !is_youtube_id(fields[0]) || !is_number(fields[1])) return std::nullopt;
  std::vector<std::string> names(fields.size());
  names[0] = "YTID";
  names[1] = "start_seconds";
  const bool audioset = is_number(fields[2]) && fields.size() > 3;
  if (audioset) names[2] = "end_seconds";
  names[audioset ? 3 : 2] = "labels";  // else VGGSound's: id, start, label, split
  return names;
}

[[noreturn]] void refuse_header(const List& list, const CsvRow& row) {
  const bool is_clip = std::any_of(row.fields.begin(), row.fields.end(),
                                   [](const std::string& field) { return audio::has_audio_extension(field); });
  throw Error(
      str(list.path.string(), ":", row.line,
          ": the header has no column 'path' (or 'file', 'audio_filepath', "
          "'file_name', 'wav', 'audio', … docs/data.md) and none of YouTube ids; its columns: ",
          quoted_names(row.fields),
          is_clip ? ". Is it a clip? Then put a line with the columns' names before it, such as path,labels" : ""));
}

/// Rows without a path: the file is found by its id.
Manifest read_ids(CsvReader& rows, std::optional<CsvRow> row, const Columns& columns, const List& list) {
  AXLSTM_CHECK(!list.root.empty(), list.path.string(),
               ": lists YouTube ids without paths; name the folder of their audio with data.root");
  const FilesById files(list.base);
  Manifest manifest;
  for (; row; row = rows.next()) {
    const auto& fields = row->fields;
    if (fields.front().starts_with('#')) continue;
    const Place where{list.path, row->line};
    const std::size_t needed = std::max({*columns.id, columns.start.at.value_or(0), columns.end.at.value_or(0)});
    AXLSTM_CHECK(fields.size() > needed && !fields[*columns.id].empty(), where, ": ", fields.size(),
                 " fields; expected an id and what the header names, such as 'YTID, start_seconds, end_seconds, "
                 "positive_labels'");
    const std::string& id = fields[*columns.id];
    std::optional<double> start;
    if (columns.start.at) start = columns.start.seconds * parse_seconds(fields[*columns.start.at], where);
    // A matched file is the cut segment already, as downloaders write it: all of it is the clip.
    if (const auto file = files.find(id, start)) {
      manifest.clips.add(file->string(), id, {},
                         columns.labels && *columns.labels < fields.size() ? fields[*columns.labels] : std::string());
    } else {
      manifest.unmatched.push_back(id);
    }
  }
  return manifest;
}

Manifest read_rows(CsvReader& rows, std::size_t width, const Columns& columns, const List& list) {
  Manifest manifest{ClipList(list.base), {}, {}};
  while (const auto row = rows.next()) {
    const auto& fields = row->fields;
    const Place where{list.path, row->line};
    AXLSTM_CHECK(fields.size() == width, where, ": ", fields.size(), " fields, the header has ", width);
    const auto seconds = [&](const Columns::Time& time) -> std::optional<double> {
      if (!time.at || fields[*time.at].empty()) return std::nullopt;
      return time.seconds * parse_seconds(fields[*time.at], where);
    };
    const std::string& file = fields[*columns.path];
    const std::string& id = columns.id && !fields[*columns.id].empty() ? fields[*columns.id] : file;
    manifest.clips.add(local_path(file, where), id,
                       segment_of(seconds(columns.start), seconds(columns.end), seconds(columns.duration), where),
                       columns.labels ? fields[*columns.labels] : std::string());
  }
  return manifest;
}

}  // namespace

Manifest read_table(const List& list) {
  const char delimiter = delimiter_of(list.text);
  CsvReader rows(list.text, list.path.string(), delimiter);
  std::optional<CsvRow> row = rows.next();
  AXLSTM_CHECK(row, list.path.string(), ": is empty");
  const auto columns_of = [&](const std::vector<std::string>& names) {
    try {
      return Columns(names);
    } catch (const Error& failure) {
      throw Error(str(list.path.string(), ":", row->line, ": ", failure.what()));
    }
  };
  while (true) {
    const std::vector<std::string> names = without_hash(row->fields);
    const Columns columns = columns_of(names);
    if (columns.path) return read_rows(rows, names.size(), columns, list);
    if (columns.ids_name_files) return read_ids(rows, rows.next(), columns, list);
    if (const auto known = headerless(row->fields)) return read_ids(rows, row, columns_of(*known), list);
    // AudioSet's files begin with comments, the last of which is the header.
    if (!row->fields.front().starts_with('#')) refuse_header(list, *row);
    auto next = rows.next();
    if (!next) refuse_header(list, *row);
    row = std::move(next);
  }
}

}  // namespace axlstm::data
