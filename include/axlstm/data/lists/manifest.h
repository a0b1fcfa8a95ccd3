// The list of clips to train on. Free of LibTorch.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/data/lists/clip_list.h"
#include "axlstm/data/options.h"

namespace axlstm::data {

struct Manifest {
  ClipList clips;
  std::vector<std::string> unmatched;  ///< ids of rows without paths whose audio is not under root
  std::string source;                  ///< what it was read from, for the log
};

/// Lists the clips of `options`: a folder (recursively, in path order), or a list in one of the forms of docs/data.md.
/// Throws Error naming the file and the line, or the folder without audio.
Manifest load_manifest(const DataOptions& options);

/// Counts the rows whose audio was not found (`ids`, if any) and lists them in `folder`/unmatched.txt.
void report_unmatched(const std::vector<std::string>& ids, const std::filesystem::path& folder);

}  // namespace axlstm::data
