#include "cli.h"

#include <csignal>
#include <iostream>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "doctor.h"

namespace axlstm::cli {
namespace {

std::atomic<bool> stop_requested{false};

void handle_signal(int number) {
  if (stop_requested.exchange(true) && number == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
}

}  // namespace

void ConfigArguments::add_to(CLI::App& app) {
  app.add_option("-c,--config", file, "YAML configuration file")->type_name("FILE");
  app.add_option("overrides", overrides, "section.key=value, stronger than the file; all keys: docs/config.md")
      ->type_name("KEY=VALUE");
}

config::RunConfig ConfigArguments::read() const {
  config::Node root;
  root.kind = config::Node::Kind::kMap;
  if (!file.empty()) root = config::load(file);
  for (const std::string& assignment : overrides) config::apply_override(root, assignment);
  return config::read(root);
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
  try {
    app.parse(argc, argv);
    return body();
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? kOk : kUsage;
  } catch (const UsageError& failure) {
    log::error(failure.what());
    return kUsage;
  } catch (const std::exception& failure) {
    log::error(message_of(failure));
    return kFailed;
  }
}

void log_banner(const std::string& program, const config::RunConfig& config) {
  log::info(program + " " + AXLSTM_VERSION + ", " + platform_summary(config));
}

const std::atomic<bool>& stop_on_signal() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, handle_signal);
  return stop_requested;
}

}  // namespace axlstm::cli
