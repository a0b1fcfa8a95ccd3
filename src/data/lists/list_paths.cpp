// Lists without columns' names: one path a line, fairseq's, Kaldi's.
#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "axlstm/audio/file_names.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "list_columns.h"
#include "list_formats.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSpaces = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpaces);
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

/// Line after line, blank ones left out.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  /// Without the spaces around it; empty at the end.
  std::string_view next() {
    while (!text_.empty()) {
      const std::string_view line = text_.substr(0, text_.find('\n'));
      text_.remove_prefix(std::min(line.size() + 1, text_.size()));
      ++number_;
      if (const std::string_view content = trimmed(line); !content.empty()) return content;
    }
    return {};
  }
  int number() const { return number_; }

 private:
  std::string_view text_;
  int number_ = 0;
};

/// The line up to its first space or tab, and what follows them.
std::pair<std::string_view, std::string_view> first_word(std::string_view line) {
  const std::size_t end = std::min(line.find_first_of(kSpaces), line.size());
  return {line.substr(0, end), trimmed(line.substr(end))};
}

bool looks_like_audio(std::string_view line) {
  const fs::path path(line);
  return audio::has_audio_extension(path) || audio::has_sound_like_extension(path);
}

bool is_file(const List& list, std::string_view line) {
  std::error_code failure;
  constexpr std::size_t kLongestPath = 4096;
  return line.size() < kLongestPath && fs::is_regular_file(list.base / expand_home(std::string(line)), failure);
}

/// Whether a line is one path: a file that is there, or a name of audio, before which no word is one, as in "a.wav
/// b.wav".
bool is_path(const List& list, std::string_view line) {
  if (is_file(list, line)) return true;
  for (std::size_t end = line.find_first_of(kSpaces); end != std::string_view::npos;
       end = line.find_first_of(kSpaces, end + 1))
    if (looks_like_audio(line.substr(0, end))) return false;
  return looks_like_audio(line);
}

bool is_whole_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

bool is_list_of_paths(const List& list) {
  Lines lines(list.text);
  std::string_view first = lines.next();
  while (first.starts_with("# ")) first = lines.next();
  if (first.empty()) return false;
  return is_file(list, first) || (is_path(list, first) && first.find_first_of("\t;|,\"") == std::string_view::npos);
}

Manifest read_paths(const List& list) {
  Manifest manifest{ClipList(list.base), {}, {}};
  Lines lines(list.text);
  for (std::string_view line = lines.next(); !line.empty(); line = lines.next()) {
    if (line.starts_with("# ")) continue;
    const Place where{list.path, lines.number()};
    const std::string text(line);
    AXLSTM_CHECK(is_path(list, line), where, ": '", text,
                 "' is no audio file; a list of paths has one a line and nothing else (for more columns put a header "
                 "before them, such as path,labels)");
    manifest.clips.add(local_path(text, where), text);
  }
  return manifest;
}

bool is_fairseq(const List& list) {
  Lines lines(list.text);
  const std::string_view folder = lines.next(), row = lines.next();
  const std::size_t tab = row.find('\t');
  return !folder.empty() && folder.find('\t') == std::string_view::npos && !looks_like_audio(folder) &&
         tab != std::string_view::npos && looks_like_audio(row.substr(0, tab)) && is_whole_number(row.substr(tab + 1));
}

Manifest read_fairseq(const List& list) {
  Lines lines(list.text);
  const std::string folder(lines.next());
  std::error_code failure;
  if (list.root.empty() && !fs::is_directory(folder, failure))
    throw UsageError(str(list.path.string(), ":1: there is no folder '", folder,
                         "', which the list's paths begin at; name the right one with data.root"));
  Manifest manifest{ClipList(list.root.empty() ? fs::path(folder) : list.base), {}, {}};
  for (std::string_view line = lines.next(); !line.empty(); line = lines.next()) {
    const Place where{list.path, lines.number()};
    const std::size_t tab = line.find('\t');
    AXLSTM_CHECK(tab != std::string_view::npos && is_whole_number(line.substr(tab + 1)), where,
                 ": expected a path, a tab and a number of samples");
    const std::string text(line.substr(0, tab));
    manifest.clips.add(local_path(text, where), text);
  }
  return manifest;
}

Manifest read_kaldi(const List& list, const fs::path& segments_path, std::string_view segments) {
  Manifest manifest{ClipList(list.base), {}, {}};
  std::unordered_map<std::string_view, std::string_view> recordings;
  Lines lines(list.text);
  for (std::string_view line = lines.next(); !line.empty(); line = lines.next()) {
    const Place where{list.path, lines.number()};
    const auto [id, path] = first_word(line);
    AXLSTM_CHECK(!path.empty(), where, ": expected an id and a path");
    AXLSTM_CHECK(!path.ends_with('|') && !path.starts_with('|'), where, ": '", path,
                 "' is a command; commands are not run. Write its output to a file for each id (wav-copy scp:wav.scp "
                 "…, or the command itself) and list the files");
    const std::size_t colon = path.rfind(':');
    AXLSTM_CHECK(colon == std::string_view::npos || !is_whole_number(path.substr(colon + 1)), where, ": '", path,
                 "' is a place in an archive of Kaldi's; write the audio to files and list those");
    AXLSTM_CHECK(recordings.emplace(id, path).second, where, ": the id '", id, "' is there twice");
    if (segments.empty()) manifest.clips.add(local_path(std::string(path), where), id);
  }
  lines = Lines(segments);
  for (std::string_view line = lines.next(); !line.empty(); line = lines.next()) {
    const Place where{segments_path, lines.number()};
    const auto [id, after_id] = first_word(line);
    const auto [recording, after_recording] = first_word(after_id);
    const auto [start, after_start] = first_word(after_recording);
    const std::string_view end = first_word(after_start).first;
    AXLSTM_CHECK(!end.empty(), where, ": expected an id, a recording, a start and an end");
    const auto found = recordings.find(recording);
    AXLSTM_CHECK(found != recordings.end(), where, ": there is no recording '", recording, "' in ", list.path.string());
    const bool to_the_end = end == "-1" || end == "-1.0";
    manifest.clips.add(local_path(std::string(found->second), where), id,
                       segment_of(parse_seconds(start, where),
                                  to_the_end ? std::nullopt : std::optional(parse_seconds(end, where)), {}, where));
  }
  if (!segments.empty())
    log::info(
        str(segments_path.string(), ": ", manifest.clips.size(), " segments of ", recordings.size(), " recordings"));
  return manifest;
}

}  // namespace axlstm::data
