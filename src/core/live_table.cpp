#include "axlstm/core/live_table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "axlstm/core/log.h"

namespace axlstm {

void LiveTable::draw(const std::vector<std::string>& lines) {
  if (!log::is_terminal()) return;
  clear();
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 1;
  const std::size_t width = known ? size.ws_col : 80, height = known ? size.ws_row - 1U : 24;
  for (std::size_t i = lines.size() - std::min(lines.size(), height); i < lines.size(); ++i) {
    std::cerr << lines[i].substr(0, width) << "\n";
    ++shown_;
  }
  std::cerr << std::flush;
}

void LiveTable::clear() {
  for (; shown_ > 0; --shown_) std::cerr << "\x1b[1A\x1b[2K";  // up one line, erase it
  std::cerr << std::flush;
}

}  // namespace axlstm
