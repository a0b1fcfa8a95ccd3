#include "files_by_id.h"

#include <charconv>
#include <cmath>

#include "axlstm/audio/file_names.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm::data {

namespace fs = std::filesystem;

std::vector<fs::path> audio_files(const fs::path& root) {
  std::error_code failure;
  if (!fs::is_directory(root, failure)) throw UsageError(root.string() + ": no such folder (data.root)");
  audio::AudioFiles found = audio::list_audio_files(root);
  if (!found.passed_over.empty()) log::warn(str(root.string(), ": passed over ", found.passed_over.description()));
  return std::move(found.files);
}

FilesById::FilesById(const fs::path& root) {
  for (const fs::path& file : audio_files(root)) by_name_.emplace(file.filename().string(), file);
}

std::optional<fs::path> FilesById::find(const std::string& id, std::optional<double> start_seconds) const {
  for (const std::string& stem : {id, "Y" + id}) {
    // <id>.*: whole names, for some have further dots, such as <id>.mp4.wav
    if (const auto exact = by_name_.lower_bound(stem + "."); has_prefix(exact, stem + ".")) return exact->second;
    if (!start_seconds) continue;
    // <id>_<start>…: the start in seconds or milliseconds, whatever follows
    const std::string prefix = stem + "_";
    for (auto at = by_name_.lower_bound(prefix); has_prefix(at, prefix); ++at) {
      double start = -1;
      std::from_chars(at->first.data() + prefix.size(), at->first.data() + at->first.size(), start,
                      std::chars_format::fixed);
      if (std::abs(start - *start_seconds) < 0.5 || std::abs(start - 1000 * *start_seconds) < 0.5) return at->second;
    }
  }
  return std::nullopt;
}

bool FilesById::has_prefix(Files::const_iterator at, const std::string& prefix) const {
  return at != by_name_.end() && at->first.starts_with(prefix);
}

}  // namespace axlstm::data
