#include "axlstm/data/lists/manifest.h"

#include <algorithm>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "files_by_id.h"
#include "list_formats.h"
#include "list_text.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLookedUp = 8;

Manifest scan_folder(const fs::path& root) {
  Manifest manifest;
  manifest.clips = ClipList(root);
  for (const fs::path& file : audio_files(root)) manifest.clips.add(file.lexically_relative(root).string());
  manifest.source = root.string();
  if (manifest.clips.empty()) {
    throw UsageError(root.string() +
                     ": no audio under this folder (data.root); .wav .flac .ogg .opus .mp3 and the like are taken");
  }
  return manifest;
}

bool is_json(const List& list) {
  const std::string ending = list.path.extension().string();
  if (ending == ".jsonl" || ending == ".json" || ending == ".ndjson") return true;
  const std::size_t first = list.text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return false;
  const std::size_t second = list.text.find_first_not_of(" \t\r\n", first + 1);
  const char next = second == std::string_view::npos ? '\0' : list.text[second];
  return list.text[first] == '{' ? next == '"' : list.text[first] == '[' && next == '{';
}

/// Kaldi's wav.scp has an id and a path in each line; a .scp of one word a line is a list of paths.
bool is_kaldi(const List& list) {
  if (list.path.extension() != ".scp") return false;
  const std::string_view line = list.text.substr(0, list.text.find_first_of("\r\n", 1));
  const std::size_t space = line.find_first_of(" \t");
  return space != std::string_view::npos && line.find_first_not_of(" \t", space) != std::string_view::npos;
}

Manifest read(const List& list) {
  if (is_json(list)) return read_json(list);
  if (is_kaldi(list)) {
    const fs::path segments = list.path.parent_path() / "segments";
    std::error_code failure;
    const bool beside = list.path.filename() == "wav.scp" && fs::is_regular_file(segments, failure);
    const std::string text = beside ? read_list(segments) : "";
    AXLSTM_CHECK(!beside || !text.empty(), segments.string(), ": is empty");
    return read_kaldi(list, segments, text);
  }
  if (is_fairseq(list)) return read_fairseq(list);
  return is_list_of_paths(list) ? read_paths(list) : read_table(list);
}

/// The list itself: of a Kaldi data directory its wav.scp.
fs::path list_file(const fs::path& path) {
  std::error_code failure;
  if (!fs::exists(path, failure)) throw UsageError(path.string() + ": no such file (data.manifest)");
  if (!fs::is_directory(path, failure)) return path;
  if (fs::is_regular_file(path / "wav.scp", failure)) return path / "wav.scp";
  throw UsageError(path.string() +
                   ": is a folder without wav.scp (data.manifest takes a list; a folder of audio is data.root)");
}

/// A list whose paths begin elsewhere is found out here, not after hours.
void warn_if_none_is_there(const Manifest& manifest, const fs::path& base) {
  std::error_code failure;
  const std::size_t count = std::min(manifest.clips.size(), kLookedUp);
  for (std::size_t n = 0; n < count; ++n)
    if (fs::exists(manifest.clips[n].path, failure)) return;
  log::warn(str(manifest.source, ": none of the first ", count, " files is there, such as ",
                manifest.clips[0].path.string(), "; relative paths begin at ", base.empty() ? "." : base.string(),
                ", another folder is named by data.root"));
}

}  // namespace

Manifest load_manifest(const DataOptions& options) {
  if (options.root.empty() && options.manifest.empty()) {
    throw UsageError(
        "no training data: set data.root=FOLDER (all audio under it), data.manifest=FILE.csv or data.packed=FOLDER");
  }
  if (options.manifest.empty()) return scan_folder(expand_home(options.root));
  const fs::path path = list_file(expand_home(options.manifest));
  const std::string text = read_list(path);
  const fs::path name = list_name(path);
  const fs::path base = options.root.empty() ? path.parent_path() : expand_home(options.root);
  AXLSTM_CHECK(!text.empty(), path.string(), ": is empty");
  Manifest manifest = read({name, text, base, options.root});
  manifest.source = path.string();
  AXLSTM_CHECK(!manifest.clips.empty(), path.string(), ": names no clip whose audio could be found",
               manifest.unmatched.empty()
                   ? ""
                   : str(" (", manifest.unmatched.size(), " rows have no file under ", options.root, ")"));
  warn_if_none_is_there(manifest, base);
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
