// Starts the ranks of a run on this machine, without Python.
#pragma once

#include <cstdint>

namespace axlstm::cli {

/// Runs this very program `count` times with the same arguments, each with its rank in the environment, and waits.
/// SIGINT, SIGTERM and SIGUSR1 go on to all. When a rank fails the others are ended within seconds, and all are started
/// again up to `max_restarts` times: they resume from the newest checkpoint. Returns the exit code: 0, 75 (stopped by a
/// signal after saving), 2 (wrong configuration), 1.
int launch(char** argv, std::int64_t count, std::int64_t max_restarts);

/// True in a process that launch() started.
bool is_launched();

}  // namespace axlstm::cli
