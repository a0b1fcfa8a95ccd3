// What the names of files tell: which are audio, which are litter of systems and tools. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace axlstm::audio {

/// True if the name ends as audio files do that this build decodes, in any case: .wav .flac .mp3 .ogg … and, with
/// FFmpeg's libraries, .m4a .mp4 .webm and the like.
bool has_audio_extension(const std::filesystem::path& path);

/// True for sound and video that this build does not decode, but users may believe it does (.m4a without FFmpeg's
/// libraries, .wma, .amr …).
bool has_sound_like_extension(const std::filesystem::path& path);

/// True for what systems and tools leave beside data and is never a clip: names that begin with "._" and parts of a
/// path that begin with a dot or are called __MACOSX, @eaDir, $RECYCLE.BIN, lost+found and the like. `path` is relative
/// to what the user named, whose own name does not count.
bool is_litter(const std::filesystem::path& path);

/// What a scan or an archive was found to hold beside its clips.
struct PassedOver {
  std::map<std::string, std::int64_t> by_extension;  ///< sound-like files that are not decoded: ".wma" → 3
  std::vector<std::string> dead_links;               ///< audio by their names, but links without a target

  bool empty() const { return by_extension.empty() && dead_links.empty(); }

  /// For people, such as "9 .wma, which are not decoded; 2 links without target (a.wav, b.wav)".
  std::string description() const;
};

/// Audio files under a folder.
struct AudioFiles {
  std::vector<std::filesystem::path> files;  ///< in path order; they begin with the root as it was given
  PassedOver passed_over;
};

/// The audio files (by has_audio_extension) under a folder, litter left out. Links are followed, each folder once.
AudioFiles list_audio_files(const std::filesystem::path& root);

}  // namespace axlstm::audio
