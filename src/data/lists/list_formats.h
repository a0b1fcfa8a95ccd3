// The formats of lists, one function each. They throw Error naming the file and the line.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "axlstm/data/lists/manifest.h"

namespace axlstm::data {

/// A list's text and what its paths are relative to.
struct List {
  const std::filesystem::path& path;  ///< for messages
  std::string_view text;
  std::filesystem::path base;  ///< data.root, else the list's folder
  std::string root;            ///< data.root as it was given, perhaps empty
};

/// One path a line; or a table with a header; or a list of YouTube ids whose files are under data.root.
Manifest read_table(const List& list);

/// True if the list is one path a line: its first line is a path.
bool is_list_of_paths(const List& list);
Manifest read_paths(const List& list);

/// fairseq's: a folder in the first line, then "path<TAB>samples".
bool is_fairseq(const List& list);
Manifest read_fairseq(const List& list);

/// One JSON object a line, or one JSON document: an array of objects, {"data": [objects]} or {id: object}. Lhotse's
/// cuts and recordings are such objects.
Manifest read_json(const List& list);

/// Kaldi's wav.scp: "id path". `segments`, unless empty, is the text of the file beside it: "id recording start end".
Manifest read_kaldi(const List& list, const std::filesystem::path& segments_path, std::string_view segments);

}  // namespace axlstm::data
