// Starts the ranks of a run on this machine, without Python.
#pragma once

#include <cstdint>

namespace axlstm::launch {

struct LaunchOptions {
  std::int64_t max_restarts = 0;      ///< after a failure
  std::int64_t stop_timeout_s = 300;  ///< to save and end after a signal; then ranks are killed
};

/// Runs this very program `count` times with the same arguments, each with its rank in the environment, and waits.
/// What asks for the end (kStopSignals) goes on to all; a second SIGINT kills them. When a rank fails the others are
/// ended within seconds, and all are started again unless a signal asked for the end: they resume from the newest
/// checkpoint. Returns the exit code: 0, 75 (stopped by a signal after saving), 2 (wrong configuration), 130 (a second
/// SIGINT), 1.
int launch(char** argv, std::int64_t count, const LaunchOptions& options);

/// True in a process that launch() started.
bool is_launched();

}  // namespace axlstm::launch
