// Paths given as patterns, where no shell has expanded them: braces as bash has them, then wildcards.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace axlstm {

/// "a{1,2}b", "{000..099}", "{a..e}", "{0..9..3}", one in another, as bash expands them; what is no such pattern stays.
/// Throws UsageError for more than a million words.
std::vector<std::string> expand_braces(const std::string& pattern);

/// The paths that the patterns name, in their order, those of a wildcard (* ? [a-z]) sorted. A path that is there is
/// itself, whatever it looks like; "~/" is the home folder. Throws Error naming what is not there.
std::vector<std::filesystem::path> expand_paths(const std::vector<std::string>& patterns);

}  // namespace axlstm
