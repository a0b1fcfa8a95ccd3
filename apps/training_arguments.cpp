#include "training_arguments.h"

#include "axlstm/core/error.h"

namespace axlstm::cli {

void TrainingArguments::add_to(CLI::App& app) {
  config.add_to(app);
  add_common_flags(app);
  CLI::Option* several =
      app.add_option("--nproc", nproc,
                     "Train with this many processes on this machine, one for each GPU (docs/distributed.md)")
          ->check(CLI::Range(1, 1024))
          ->option_text("N");
  app.add_option("--max-restarts", launch.max_restarts, "With --nproc: start again so often after a failure")
      ->needs(several)
      ->check(CLI::Range(0, 1'000'000))
      ->option_text(str("N [", launch.max_restarts, "]"));
  app.add_option("--stop-timeout", launch.stop_timeout_s,
                 "With --nproc: seconds that the processes have to save and end after a signal; then they are killed")
      ->needs(several)
      ->check(CLI::Range(1, 86400))
      ->option_text(str("SECONDS [", launch.stop_timeout_s, "]"));
  app.add_flag(
      "--dry-run", dry_run,
      "Check configuration, data and memory, make a few steps, print how long the run will take, write nothing");
  app.add_flag("--dump-config", dump_config, "Print the resolved configuration and exit");
  app.add_flag("--config-reference", config_reference, "Print every configuration key as Markdown and exit");
}

bool TrainingArguments::starts_ranks() const { return nproc > 0 && !launch::is_launched(); }

std::function<void(const std::string& kernels)> announcer(const std::string& program, runtime::DeviceChoice device) {
  return [program, device](const std::string& kernels) {
    log_banner(program, device, kernels.empty() ? "" : ", " + kernels);
  };
}

}  // namespace axlstm::cli
