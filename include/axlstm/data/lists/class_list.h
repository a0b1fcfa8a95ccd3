// The classes of a classifier, and what the labels of a clip mean among them. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace axlstm::data {

class ClassList {
 public:
  /// `source` names the list in errors. Throws Error for fewer than two names and for one that comes twice.
  ClassList(std::vector<std::string> names, std::string source);

  /// Another text that means a class, such as AudioSet's "/m/09x0r". Throws Error if it means another one already.
  void add_alias(std::string_view text, std::int64_t index);

  std::int64_t size() const { return static_cast<std::int64_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }

  /// The class of a clip's only label. Throws Error naming the label, the clip and the list, and what to do: for a
  /// label that is not in the list, for none, and for several.
  std::int64_t only(std::string_view labels, const std::string& clip) const;

  /// The classes of a clip's labels, which commas divide, sorted and each once. A label may have commas itself: of what
  /// could be meant the longest is taken. Throws Error as above.
  std::vector<std::int64_t> all(std::string_view labels, const std::string& clip) const;

 private:
  const std::int64_t* find(std::string_view text) const;

  std::vector<std::string> names_;
  std::string source_;
  std::unordered_map<std::string, std::int64_t> indices_;
};

/// Reads AudioSet's class_labels_indices.csv (the display names; the mids mean the same), a table with a column
/// `label`, `name`, `class` or `display_name` and perhaps `idx` or `index` (HEAR's labelvocabulary.csv), or one name in
/// each line. Throws Error naming the file and the line.
ClassList load_class_list(const std::filesystem::path& file);

/// All labels that occur in `labels` (one text a clip), sorted; `exclusive`: each text is one label, else commas divide
/// it. Clips without labels are passed over here.
std::vector<std::string> classes_of(const std::vector<std::string>& labels, bool exclusive);

}  // namespace axlstm::data
