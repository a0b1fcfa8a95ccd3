// Programs that are started, and end with the one that started them.
#pragma once

#include <sys/types.h>

#include <functional>

namespace axlstm {

/// The exit code of a process in which no program could be started, as shells have it.
inline constexpr int kCannotStart = 127;

/// Starts `program` with `argv` (its own name first, a null pointer last) and returns the process, or -1 with errno. It
/// gets SIGTERM when the thread that called this ends. `prepare` runs in the new process before the program begins:
/// where the caller has several threads, it may only make calls that are safe between fork and exec.
pid_t start_process(const char* program, char* const* argv, const std::function<void()>& prepare);

/// Of a status as waitpid gives it: the exit code, 128 + signal if the process was killed.
int exit_code_of(int status);

}  // namespace axlstm
