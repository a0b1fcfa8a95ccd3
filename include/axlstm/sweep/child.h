// A program that is run and waited for.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace axlstm::sweep {

struct ChildOptions {
  std::filesystem::path log;                       ///< standard output and error are appended to it
  std::map<std::string, std::string> environment;  ///< set beside the own one
  const std::atomic<bool>* stop = nullptr;         ///< when true, the child gets SIGTERM and is waited for
};

/// Runs `command`, a program's path and its arguments, and returns its exit code, 128 + signal if it was killed.
/// The child is asked to end (SIGTERM) if this process dies. Throws Error if it cannot be started or logged.
int run_child(const std::vector<std::string>& command, const ChildOptions& options);

}  // namespace axlstm::sweep
