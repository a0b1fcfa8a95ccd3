// What every executable does the same way: logging, version banner, configuration arguments, signals, exit codes.
#pragma once

#include <CLI/CLI.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "axlstm/config/schema.h"
#include "axlstm/core/exit_code.h"

namespace axlstm::cli {

/// `--config FILE` and `section.key=value` arguments.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;

  void add_to(CLI::App& app);
  /// An option that takes many paths also gets the section.key=value behind them: moves those to `overrides`.
  void take_from(std::vector<std::string>& paths);

  config::RunConfig read() const;
};

/// For an option whose values have names.
template <typename Enum>
CLI::Validator one_of(const std::map<std::string, Enum>& choices) {
  const auto to_number = [choices](std::string& text) -> std::string {
    const auto found = choices.find(text);
    if (found != choices.end()) {
      text = std::to_string(static_cast<int>(found->second));
      return "";
    }
    std::string names;
    for (const auto& choice : choices) names += (names.empty() ? "" : ", ") + choice.first;
    return "'" + text + "' is none of " + names;
  };
  return CLI::Validator(to_number, "");
}

/// Refuses options of `group` that were given where they mean nothing; `why` goes behind their name.
void refuse_given(const CLI::App& group, const std::string& why);

/// Adds --version, --doctor and --quiet.
void add_common_flags(CLI::App& app);

/// Parses, runs `body` and turns every failure into one line on stderr and an exit code. What is written to stderr when
/// nobody reads it any more (`2>&1 | tee`, a terminal that is gone) is dropped; results that standard output does not
/// take are a failure.
int run(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

/// Logs program, device, LibTorch, CUDA and cuDNN versions, and `more`.
void log_banner(const std::string& program, runtime::DeviceChoice device, const std::string& more = "");

/// Turns true at the first of launch::kStopSignals; a SIGINT after that ends the process at once, with a message.
const std::atomic<bool>& stop_on_signal();

/// For what has nothing to save: a signal simply ends the process, also one that --nproc held back so far.
void end_on_signal();

}  // namespace axlstm::cli
