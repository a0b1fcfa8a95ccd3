// What the columns of a list, or the keys of its JSON, tell about a clip, and how their values are read.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "axlstm/audio/decode.h"

namespace axlstm::data {

/// A line, or the number of an entry, for messages: written out only where there is one.
struct Place {
  const std::filesystem::path& file;
  int line;
  bool is_entry = false;
};

std::ostream& operator<<(std::ostream& out, const Place& place);

/// Where the parts of a clip stand among the columns, by their names in any case; "_", "-", ".", brackets and spaces in
/// them do not count. Of several names of one part the first in docs/data.md is taken.
struct Columns {
  struct Time {
    std::optional<std::size_t> at;
    double seconds = 1;  ///< of one unit
  };

  std::optional<std::size_t> path, id, labels;
  Time start, end, duration;
  bool ids_name_files = false;  ///< YouTube ids and the like, after which files are called

  /// `is_there`: false for a column that is as good as absent. Throws Error, without a place, where two columns are
  /// the same, or tell times in a way that is not clear.
  explicit Columns(const std::vector<std::string>& names, const std::function<bool(std::size_t)>& is_there = {});
};

/// Rank of a name among those of labels (0 is the best), nothing for other names.
std::optional<int> labels_rank(std::string_view name);

/// The names, quoted, for messages.
std::string quoted_names(const std::vector<std::string>& names);

/// Seconds from "1.5", or from hours, minutes and seconds with colons. Throws Error naming place and text.
double parse_seconds(std::string_view text, const Place& where);

/// Throws Error naming the place if the segment has no length.
audio::Segment segment_of(std::optional<double> start, std::optional<double> end, std::optional<double> duration,
                          const Place& where);

/// The path that a list names: with "~/" and "file://" resolved. Throws Error for none and for addresses of the net.
std::string local_path(const std::string& text, const Place& where);

}  // namespace axlstm::data
