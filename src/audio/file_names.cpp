#include "axlstm/audio/file_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <string_view>

#include "axlstm/core/error.h"

namespace axlstm::audio {
namespace {

namespace fs = std::filesystem;

/// What libsndfile and libmpg123 decode.
constexpr std::array kAlways{".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3",
                             ".mp2", ".aiff", ".aif", ".aifc", ".au",  ".snd",  ".caf", ".sph", ".voc",  ".mpga"};
/// What FFmpeg's libraries add.
constexpr std::array kWithFfmpeg{".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".webm", ".mka", ".mkv", ".aac", ".wma",
                                 ".ac3", ".amr", ".3gp", ".flv", ".avi", ".ape",  ".wv",  ".tta", ".ts",  ".weba"};
/// Sound that neither decodes, or that is too rare to be tried.
constexpr std::array kNever{".mid", ".midi", ".ra", ".rm", ".dsf", ".dff", ".mpc", ".shn", ".nist", ".aax"};

constexpr std::array<std::string_view, 7> kLitterFolders{
    "__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information", "#recycle", "__pycache__"};

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension;
}

template <typename List>
bool is_in(const List& list, const std::string& extension) {
  return std::find(list.begin(), list.end(), extension) != list.end();
}

}  // namespace

bool has_audio_extension(const fs::path& path) {
  const std::string extension = lower_extension(path);
#ifdef AXLSTM_WITH_FFMPEG
  if (is_in(kWithFfmpeg, extension)) return true;
#endif
  return is_in(kAlways, extension);
}

bool has_sound_like_extension(const fs::path& path) {
  const std::string extension = lower_extension(path);
  return !has_audio_extension(path) && (is_in(kWithFfmpeg, extension) || is_in(kNever, extension));
}

bool is_litter(const fs::path& path) {
  return std::any_of(path.begin(), path.end(), [](const fs::path& part) {
    const std::string& name = part.native();
    const bool hidden = name.size() > 1 && name[0] == '.' && name != "..";
    return hidden || is_in(kLitterFolders, name);
  });
}

std::string PassedOver::description() const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (!by_extension.empty()) {
    std::string kinds;
    for (const auto& [extension, count] : by_extension) kinds += str(kinds.empty() ? "" : ", ", count, " ", extension);
    add(kinds + ", which this build does not decode");
  }
  if (!dead_links.empty()) {
    constexpr std::size_t kNamed = 3;
    std::string names;
    for (std::size_t n = 0; n < std::min(dead_links.size(), kNamed); ++n) names += (n == 0 ? "" : ", ") + dead_links[n];
    add(str(dead_links.size(), dead_links.size() == 1 ? " link" : " links", " without a target (", names,
            dead_links.size() > kNamed ? ", …" : "", "): is the content fetched (git annex get, datalad get)?"));
  }
  return text;
}

AudioFiles list_audio_files(const fs::path& root) {
  std::error_code failure;
  constexpr auto kOptions =
      fs::directory_options::follow_directory_symlink | fs::directory_options::skip_permission_denied;
  AudioFiles found;
  std::set<fs::path> followed;
  for (auto at = fs::recursive_directory_iterator(root, kOptions); at != fs::recursive_directory_iterator(); ++at) {
    const fs::directory_entry& entry = *at;
    if (is_litter(entry.path().filename())) {
      at.disable_recursion_pending();
      continue;
    }
    if (entry.is_symlink(failure) && entry.is_directory(failure)) {
      // A link to a folder above it, or a second one to the same folder, would give the same files again, perhaps
      // endlessly.
      const fs::path target = fs::canonical(entry.path(), failure);
      const fs::path parent = fs::canonical(entry.path().parent_path(), failure);
      const bool above =
          std::mismatch(target.begin(), target.end(), parent.begin(), parent.end()).first == target.end();
      if (above || !followed.insert(target).second) at.disable_recursion_pending();
    }
    const bool audio = has_audio_extension(entry.path());
    if (!audio && !has_sound_like_extension(entry.path())) continue;
    if (entry.is_regular_file(failure)) {
      if (audio) found.files.push_back(entry.path());
      if (!audio) ++found.passed_over.by_extension[lower_extension(entry.path())];
    } else if (audio && entry.is_symlink(failure) && !entry.exists(failure)) {
      found.passed_over.dead_links.push_back(entry.path().string());
    }
  }
  std::sort(found.files.begin(), found.files.end());
  std::sort(found.passed_over.dead_links.begin(), found.passed_over.dead_links.end());
  return found;
}

}  // namespace axlstm::audio
