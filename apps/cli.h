// What every executable does the same way: logging, version banner, configuration arguments, signals, exit codes.
#pragma once

#include <CLI/CLI.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "axlstm/config/schema.h"
#include "axlstm/core/enum_names.h"
#include "axlstm/core/exit_code.h"

namespace axlstm::cli {

/// `--config FILE` and `section.key=value` arguments.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;

  void add_to(CLI::App& app);
  /// An option that takes many paths also gets the section.key=value behind them: moves those to `overrides`.
  void take_from(std::vector<std::string>& paths);

  config::Node tree() const;  ///< file and overrides
  config::RunConfig read() const { return config::read(tree()); }
};

/// For an option that takes a name of an enumeration (core/enum_names.h).
template <typename Enum>
CLI::Validator one_of() {
  const auto to_number = [](std::string& text) -> std::string {
    if (const auto value = enum_of<Enum>(text)) {
      text = std::to_string(static_cast<int>(*value));
      return "";
    }
    std::vector<std::string> names = names_of<Enum>();
    std::sort(names.begin(), names.end());
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return "'" + text + "' is none of " + list;
  };
  return CLI::Validator(to_number, "");
}

/// Such as "auto|cpu|cuda [cpu]", for --help.
template <typename Enum>
std::string choices(Enum by_default) {
  return list_names<Enum>("|") + " [" + enum_name(by_default) + "]";
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
