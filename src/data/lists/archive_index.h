// What an archive holds, read before its clips are: which names share a key, labels wherever they lie, what links lead
// to. Some 30 bytes a member and the labels' texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "axlstm/audio/file_names.h"

namespace axlstm::data {

/// A member's name as WebDataset takes it apart: "a/b.x.flac" belongs to the key "a/b".
std::string_view archive_key(std::string_view name);

/// Whether a member is a clip by its name: audio that is decoded, and no litter.
bool is_clip_name(const std::string& name);

class ArchiveIndex {
 public:
  /// Labels as the archive has them, or why a clip with them cannot be had.
  struct Labels {
    std::string text, failure;
  };

  /// Goes through the whole archive, up to where it is damaged. Throws Error naming it if its labels are too long.
  explicit ArchiveIndex(const std::filesystem::path& path);

  /// How many clips of this key, or of this whole name, there are, links among them.
  std::size_t clips_of_key(std::string_view key) const { return count(keys_, key); }
  std::size_t clips_of_name(std::string_view name) const { return count(names_, name); }

  /// Labels of the clip `name`, the `occurrence`-th of this name (from 0): of `name`.json, of what it is up to its last
  /// dot, or of its key.
  Labels labels(const std::string& name, std::size_t occurrence) const;

  /// Names of the clips that are links to the `position`-th member of the archive (from 0).
  const std::vector<std::string>& links_to(std::size_t position) const;

  /// Sound that is not decoded, and links without their target.
  const audio::PassedOver& passed_over() const { return passed_over_; }

 private:
  /// Hashes, sorted.
  using Hashes = std::vector<std::uint64_t>;

  enum class LabelKind : std::uint8_t { kJson, kClass, kText };

  struct Label {
    std::uint64_t stem;      ///< hash of the member's name without its ending
    std::uint64_t text;      ///< where it begins in texts_
    std::uint32_t position;  ///< of the member in the archive
    std::uint32_t bytes;     ///< kTooLong: they were not read
    LabelKind kind;
  };
  static constexpr std::uint32_t kTooLong = ~std::uint32_t{0};

  struct Link {
    std::string name, target;  ///< both from the archive's top
    std::uint32_t position;
  };

  struct File {
    std::uint64_t name;
    std::uint32_t position;
  };

  struct Contents;

  static std::size_t count(const Hashes& sorted, std::string_view text);
  void read(const std::filesystem::path& path, Contents& contents);
  void add_clip(const std::string& name);
  void add_label(LabelKind kind, const std::string& name, std::uint32_t position,
                 const std::optional<std::string>& content);
  void follow(Contents& contents);
  const Label* label_of_stem(std::string_view stem, std::size_t occurrence) const;

  Hashes keys_, names_;
  std::vector<Label> labels_;  ///< sorted by stem, kind and position
  std::string texts_;
  std::unordered_map<std::size_t, std::vector<std::string>> links_;
  audio::PassedOver passed_over_;
};

}  // namespace axlstm::data
