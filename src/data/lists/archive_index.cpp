#include "archive_index.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "archive_reader.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "core/json.h"
#include "labels.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlockBytes = 1 << 14;  // what lies between headers and labels is passed over
constexpr std::uint64_t kMaxLabelBytes = std::uint64_t{1} << 24;
constexpr std::uint64_t kMaxTextBytes = std::uint64_t{1} << 30;
constexpr int kMaxLinks = 16;  // one after the other

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n"), last = text.find_last_not_of(" \t\r\n");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// The labels in a clip's JSON. One that cannot be read names none: the audio is worth more than its labels.
std::string json_labels(const std::string& text) {
  const auto parsed = try_parse_json(text);
  return parsed ? labels_of(*parsed) : "";
}

/// Where the ending of the last part of a name begins, its length where there is none.
std::size_t ending_of(std::string_view name) {
  const auto slash = name.rfind('/'), dot = name.rfind('.');
  return dot == std::string_view::npos || (slash != std::string_view::npos && dot < slash) ? name.size() : dot;
}

std::string normal(const std::string& name) { return fs::path(name).lexically_normal().string(); }

}  // namespace

std::string_view archive_key(std::string_view name) {
  const auto slash = name.rfind('/');
  return name.substr(0, name.find('.', slash == std::string_view::npos ? 0 : slash + 1));
}

bool is_clip_name(const std::string& name) {
  return audio::has_audio_extension(std::string("x").append(name, ending_of(name))) && !audio::is_litter(name);
}

/// What only the making of the index needs.
struct ArchiveIndex::Contents {
  std::vector<File> files;
  std::vector<Link> links;
};

ArchiveIndex::ArchiveIndex(const fs::path& path) {
  Contents contents;
  read(path, contents);
  follow(contents);
  std::sort(keys_.begin(), keys_.end());
  std::sort(names_.begin(), names_.end());
  std::sort(labels_.begin(), labels_.end(), [](const Label& a, const Label& b) {
    return std::tie(a.stem, a.kind, a.position) < std::tie(b.stem, b.kind, b.position);
  });
}

void ArchiveIndex::read(const fs::path& path, Contents& contents) {
  static const std::map<std::string_view, LabelKind> kinds{
      {".json", LabelKind::kJson}, {".cls", LabelKind::kClass}, {".txt", LabelKind::kText}};
  try {
    ArchiveReader reader(path, kBlockBytes);
    for (std::uint32_t position = 0; const auto member = reader.next(); ++position) {
      const std::string& name = member->name;
      using Kind = ArchiveMember::Kind;
      if (member->kind == Kind::kHardLink || member->kind == Kind::kSymbolicLink) {
        const fs::path from = member->kind == Kind::kHardLink ? fs::path() : fs::path(name).parent_path();
        contents.links.push_back({name, normal((from / member->target).string()), position});
      }
      if (member->kind != Kind::kFile) continue;
      contents.files.push_back({fnv1a64(normal(name)), position});
      if (audio::is_litter(name)) continue;
      if (is_clip_name(name)) add_clip(name);
      if (audio::has_sound_like_extension(name)) ++passed_over_.by_extension[lower(name.substr(ending_of(name)))];
      const auto kind = kinds.find(std::string_view(name).substr(ending_of(name)));
      if (kind != kinds.end()) add_label(kind->second, name, position, reader.content(kMaxLabelBytes));
      if (texts_.size() > kMaxTextBytes) break;
    }
  } catch (const ReadError&) {
    // Whoever reads the clips comes to the same place and says it.
  }
  AXLSTM_CHECK(texts_.size() <= kMaxTextBytes, path.string(), ": its labels are longer than ", kMaxTextBytes >> 20,
               " MiB together; divide the archive");
}

void ArchiveIndex::add_label(LabelKind kind, const std::string& name, std::uint32_t position,
                             const std::optional<std::string>& content) {
  Label label{fnv1a64(name.substr(0, ending_of(name))), texts_.size(), position, kTooLong, kind};
  if (content) {
    const std::string text = kind == LabelKind::kJson ? json_labels(*content) : trimmed(*content);
    label.bytes = static_cast<std::uint32_t>(text.size());
    texts_ += text;
  }
  labels_.push_back(label);
}

void ArchiveIndex::add_clip(const std::string& name) {
  keys_.push_back(fnv1a64(archive_key(name)));
  names_.push_back(fnv1a64(name));
}

/// Finds the member that each link leads to: the last one of that name before the link, as unpacking would, or the
/// first after it.
void ArchiveIndex::follow(Contents& contents) {
  auto& files = contents.files;
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return std::tie(a.name, a.position) < std::tie(b.name, b.position); });
  const auto find = [&files](const std::string& name) {
    const auto found = std::lower_bound(files.begin(), files.end(), fnv1a64(name),
                                        [](const File& file, std::uint64_t hash) { return file.name < hash; });
    return found != files.end() && found->name == fnv1a64(name) ? found : files.end();
  };
  std::unordered_map<std::string, std::string> targets;
  for (const Link& link : contents.links) targets[normal(link.name)] = link.target;
  for (const Link& link : contents.links) {
    if (!is_clip_name(link.name)) continue;
    std::string target = link.target;
    for (int n = 0; n < kMaxLinks && find(target) == files.end() && targets.count(target) > 0; ++n)
      target = targets.at(target);
    auto file = find(target);
    if (file == files.end()) {
      passed_over_.dead_links.push_back(link.name);
      continue;
    }
    while (std::next(file) != files.end() && std::next(file)->name == file->name &&
           std::next(file)->position < link.position)
      ++file;
    links_[file->position].push_back(link.name);
    add_clip(link.name);
  }
}

std::size_t ArchiveIndex::count(const Hashes& sorted, std::string_view text) {
  const auto range = std::equal_range(sorted.begin(), sorted.end(), fnv1a64(text));
  return static_cast<std::size_t>(std::distance(range.first, range.second));
}

/// JSON goes before the others, of which the one that comes first in the archive counts. Where a kind is there several
/// times, as in joined archives, the clip's `occurrence` tells which belongs to it.
const ArchiveIndex::Label* ArchiveIndex::label_of_stem(std::string_view stem, std::size_t occurrence) const {
  const std::uint64_t hash = fnv1a64(stem);
  auto at = std::lower_bound(labels_.begin(), labels_.end(), hash,
                             [](const Label& label, std::uint64_t name) { return label.stem < name; });
  const Label* best = nullptr;
  while (at != labels_.end() && at->stem == hash) {
    auto end = at;
    while (end != labels_.end() && end->stem == hash && end->kind == at->kind) ++end;
    const auto entries = static_cast<std::size_t>(end - at);
    const Label& label = at[static_cast<std::ptrdiff_t>(std::min(occurrence, entries - 1))];
    at = end;
    if (label.bytes == 0) continue;
    if (label.kind == LabelKind::kJson) return &label;
    if (!best || label.position < best->position) best = &label;
  }
  return best;
}

ArchiveIndex::Labels ArchiveIndex::labels(const std::string& name, std::size_t occurrence) const {
  const std::string_view whole = name;
  for (const std::string_view stem : {whole, whole.substr(0, ending_of(whole)), archive_key(whole)}) {
    const Label* label = label_of_stem(stem, occurrence);
    if (label && label->bytes == kTooLong)
      return {"", str("its labels are larger than ", kMaxLabelBytes >> 20, " MiB")};
    if (label) return {texts_.substr(label->text, label->bytes), ""};
  }
  return {};
}

const std::vector<std::string>& ArchiveIndex::links_to(std::size_t position) const {
  static const std::vector<std::string> none;
  const auto found = links_.find(position);
  return found == links_.end() ? none : found->second;
}

}  // namespace axlstm::data
