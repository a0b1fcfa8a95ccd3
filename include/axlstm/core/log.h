// Log lines on stderr; stdout is kept for results.
#pragma once

#include <string>

namespace axlstm::log {

void info(const std::string& message);
void warn(const std::string& message);
void error(const std::string& message);

/// For what concerns all processes of a run alike: said by the one that has no source.
void warn_for_run(const std::string& message);

/// Prefixes every message with `name`, to tell apart processes that share a terminal.
void set_source(const std::string& name);

/// Hides info lines (`--quiet`).
void set_quiet(bool quiet);

/// Redraws `line` in place when stderr is a terminal; otherwise prints it as a plain line when `milestone`.
/// The next log line ends the live line first, so nothing is overwritten.
void progress(const std::string& line, bool milestone);

/// True when stderr is a terminal, so that live lines are drawn.
bool is_terminal();

}  // namespace axlstm::log
