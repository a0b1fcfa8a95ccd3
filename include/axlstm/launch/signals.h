// The signals that ask a program to save and end.
#pragma once

#include <array>
#include <csignal>

namespace axlstm::launch {

/// What asks a program to save and end: people, batch systems (SIGUSR2 is SGE's, SIGXCPU comes at the end of the CPU
/// time that is allowed) and a terminal that goes (SIGHUP).
inline constexpr std::array kStopSignals{SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGXCPU};

/// False for a SIGHUP that was ignored when the program started, as under nohup: it stays so.
bool is_heard(int signal);

}  // namespace axlstm::launch
