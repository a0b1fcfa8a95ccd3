// Files called after ids, as the downloaders of AudioSet and others name them.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace axlstm::data {

/// The audio files under a folder, in path order; what is passed over is said. Throws UsageError if there is no such
/// folder (data.root).
std::vector<std::filesystem::path> audio_files(const std::filesystem::path& root);

class FilesById {
 public:
  explicit FilesById(const std::filesystem::path& root);

  /// `<id>.*`, `Y<id>.*`, or, with a start, `<id>_<start>*.*` with the start in seconds or milliseconds.
  std::optional<std::filesystem::path> find(const std::string& id, std::optional<double> start_seconds) const;

 private:
  using Files = std::map<std::string, std::filesystem::path>;

  bool has_prefix(Files::const_iterator at, const std::string& prefix) const;

  Files by_name_;
};

}  // namespace axlstm::data
