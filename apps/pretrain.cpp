// pretrain: a folder of audio → a pre-trained encoder.
#include <iostream>

#include "axlstm/core/files.h"
#include "axlstm/distributed/join.h"
#include "axlstm/launch/launcher.h"
#include "axlstm/suite/pretraining.h"
#include "cli.h"

using namespace axlstm;

int main(int argc, char** argv) {
  CLI::App app{
      "Pre-trains an AxLSTM, an Audio Mamba (SSAM) or the SSAST baseline on audio by predicting masked spectrogram "
      "patches.\n"
      "Example: pretrain --config configs/pretrain/axlstm_tiny.yaml data.root=~/audio train.run_dir=runs/tiny"};
  cli::ConfigArguments arguments;
  arguments.add_to(app);
  cli::add_common_flags(app);
  bool dump_config = false, config_reference = false, dry_run = false;
  std::int64_t nproc = 0;
  launch::LaunchOptions launch;
  CLI::Option* several =
      app.add_option("--nproc", nproc,
                     "Train with this many processes on this machine, one for each GPU (docs/distributed.md)")
          ->check(CLI::Range(1, 1024));
  app.add_option("--max-restarts", launch.max_restarts, "With --nproc: start again so often after a failure [0]")
      ->needs(several)
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--stop-timeout", launch.stop_timeout_s,
                 "With --nproc: seconds that the processes have to save and end after a signal; then they are killed")
      ->needs(several)
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_flag(
      "--dry-run", dry_run,
      "Check configuration, data and memory, make a few steps, print how long the run will take, write nothing");
  app.add_flag("--dump-config", dump_config, "Print the resolved configuration and exit");
  app.add_flag("--config-reference", config_reference, "Print every configuration key as Markdown and exit");
  return cli::run(app, argc, argv, [&]() -> int {
    if (config_reference) {
      std::cout << config::reference();
      return kOk;
    }
    config::RunConfig config = arguments.read();
    config.train.run_dir = expand_home(config.train.run_dir).string();
    if (dump_config) {
      std::cout << config::dump(config);
      return kOk;
    }
    if (nproc > 0 && !launch::is_launched()) return distributed::start_ranks(config.train.device, argv, nproc, launch);
    const auto announce = [&](const std::string& kernels) {
      cli::log_banner("pretrain", config.train.device, kernels.empty() ? "" : ", " + kernels);
    };
    if (dry_run) {
      cli::end_on_signal();
      return suite::dry_run(config, announce);
    }
    return suite::pretrain(config, cli::stop_on_signal(), announce);
  });
}
