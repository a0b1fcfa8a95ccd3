// Lines at the bottom of a terminal that are redrawn in place.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace axlstm {

/// On stderr; nothing is drawn where that is no terminal. Call clear() before another line is logged.
class LiveTable {
 public:
  LiveTable() = default;
  ~LiveTable() { clear(); }
  LiveTable(const LiveTable&) = delete;
  LiveTable& operator=(const LiveTable&) = delete;

  /// Replaces what is shown; lines are cut to the terminal's width, and to its height from the top.
  void draw(const std::vector<std::string>& lines);
  void clear();

 private:
  std::size_t shown_ = 0;
};

}  // namespace axlstm
