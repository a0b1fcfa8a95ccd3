#include "cli.h"

#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string_view>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/launch/signals.h"
#include "axlstm/runtime/device.h"
#include "doctor.h"
#include "spinning.h"

namespace axlstm::cli {
namespace {

std::atomic<bool> stop_requested{false};

void handle_signal(int number) {
  if (!stop_requested.exchange(true) || number != SIGINT) return;
  constexpr std::string_view kLeaving =
      "\ninterrupted again: leaving at once; what was saved before is whole, the same command resumes from there\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kLeaving.data(), kLeaving.size());
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
}

/// What --nproc holds back until a rank is ready for it.
void let_signals_through() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : launch::kStopSignals) sigaddset(&signals, number);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace

void ConfigArguments::add_to(CLI::App& app) {
  app.add_option("-c,--config", file, "YAML configuration file")->type_name("FILE");
  app.add_option("overrides", overrides, "section.key=value, stronger than the file; all keys: docs/config.md")
      ->type_name("KEY=VALUE");
}

void ConfigArguments::take_from(std::vector<std::string>& paths) {
  const auto is_override = [](const std::string& text) {
    const std::string key = text.substr(0, text.find('='));
    std::error_code failure;
    return key.size() < text.size() && key.find('.') != std::string::npos && key.find('/') == std::string::npos &&
           !std::filesystem::exists(text, failure);
  };
  const auto first = std::stable_partition(paths.begin(), paths.end(), std::not_fn(is_override));
  overrides.insert(overrides.end(), first, paths.end());
  paths.erase(first, paths.end());
}

config::Node ConfigArguments::tree() const {
  config::Node root;
  root.kind = config::Node::Kind::kMap;
  if (!file.empty()) root = config::load(file);
  for (const std::string& assignment : overrides) config::apply_override(root, assignment);
  return root;
}

void refuse_given(const CLI::App& group, const std::string& why) {
  for (const CLI::Option* option : group.get_options()) {
    if (option->count() > 0) throw UsageError(option->get_name() + " " + why);
  }
}

void add_common_flags(CLI::App& app) {
  app.set_version_flag("--version", AXLSTM_VERSION);
  app.add_flag_callback(
      "--doctor",
      [] {
        std::cout << doctor_report();
        throw CLI::Success();
      },
      "Print what a bug report needs, and exit");
  app.add_flag_callback(
      "-q,--quiet", [] { log::set_quiet(true); }, "Warnings and errors only");
}

int run(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  finish_spinning_setup();
  for (const int number : {SIGPIPE, SIGXFSZ}) std::signal(number, SIG_IGN);  // a write that fails says so itself
  try {
    int code = kOk;
    try {
      torch::set_num_threads(runtime::cpu_threads());  // OpenMP by itself counts the cores of the machine
      app.parse(argc, argv);
      code = body();
    } catch (const CLI::ParseError& failure) {
      code = app.exit(failure) == 0 ? kOk : kUsage;
    }
    // Results that a full disk or a closed pipe swallowed are no success.
    AXLSTM_CHECK(std::cout.flush(), "standard output cannot be written (", std::strerror(errno), ")");
    return code;
  } catch (const UsageError& failure) {
    log::error(failure.what());
    return kUsage;
  } catch (const std::exception& failure) {
    log::error(message_of(failure));
    return kFailed;
  }
}

void log_banner(const std::string& program, runtime::DeviceChoice device, const std::string& more) {
  log::info(program + " " + AXLSTM_VERSION + ", " + platform_summary(device) + more);
}

const std::atomic<bool>& stop_on_signal() {
  for (const int number : launch::kStopSignals) {
    if (launch::is_heard(number)) std::signal(number, handle_signal);
  }
  let_signals_through();
  return stop_requested;
}

void end_on_signal() { let_signals_through(); }

}  // namespace axlstm::cli
