// pretrain: a folder of audio → a pre-trained encoder.
#include <torch/torch.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/train/trainer.h"
#include "cli.h"
#include "doctor.h"
#include "launcher.h"
#include "probe.h"
#include "ranks.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

/// Refuses to continue a run under another recipe.
void compare_with_stored(const fs::path& run_dir, const std::string& yaml) {
  const fs::path stored = run_dir / "config.yaml";
  if (!fs::exists(stored) || train::list_checkpoints(run_dir).empty()) return;
  std::string changed;
  for (const std::string& key : config::changed_keys(read_file(stored), yaml))
    changed += (changed.empty() ? "" : ", ") + key;
  if (!changed.empty()) {
    throw UsageError(str(run_dir.string(), " holds a run with other values of ", changed, "; give the old ones (",
                         stored.string(), ") or another train.run_dir"));
  }
}

train::RunSpec spec_of(const config::RunConfig& config) {
  return {config.audio, config.data,  config.model,       config.mask, config.loss,
          config.optim, config.train, config.distributed, config.eval, config::dump(config)};
}

int train_model(const config::RunConfig& config, bool dry_run, train::ProcessGroup* group,
                const std::atomic<bool>& stop) {
  const bool leads = !group || group->rank() == 0;
  const torch::Device device = group ? group->device() : train::choose_device(config.train.device);
  torch::set_num_threads(train::cpu_threads(config.train, group));  // which the banner tells
  cli::log_banner("pretrain", config.train.device, cli::mlstm_summary(config.model, config.train.precision, device));
  if (group) cli::compare_configurations(*group, config::dump(config));
  const fs::path run_dir = config.train.run_dir;
  if (dry_run) {
    if (leads) compare_with_stored(run_dir, config::dump(config));
    train::Trainer trainer(spec_of(config), group);
    if (leads && !config.eval.probe.empty()) cli::open_probe(config, device);
    std::cout << trainer.dry_run();
    return cli::kOk;
  }
  std::optional<FileLock> lock;
  if (leads) {
    std::error_code failure;
    fs::create_directories(run_dir, failure);  // here, for the lock must come before anything is read
    AXLSTM_CHECK(!failure, run_dir.string(), ": cannot be created (", failure.message(), ")");
    lock.emplace(run_dir / ".lock");
    train::remove_unfinished_checkpoints(run_dir);
    compare_with_stored(run_dir, config::dump(config));
    write_file_atomic(run_dir / "config.yaml", config::dump(config));
  }
  train::Trainer trainer(spec_of(config), group);
  if (leads && !config.eval.probe.empty()) trainer.set_probe(cli::open_probe(config, device));
  if (trainer.run(stop) == train::RunStatus::kInterrupted) {
    if (leads) log::warn("interrupted; everything is saved, the same command resumes");
    return cli::kInterrupted;
  }
  if (leads) log::info("finished: " + train::list_checkpoints(run_dir).back().string());
  return cli::kOk;
}

int pretrain(const config::RunConfig& config, bool dry_run) {
  // Before the ranks meet: a signal meanwhile stops them after the first step. A dry run is simply ended by it.
  static const std::atomic<bool> never{false};
  if (dry_run) cli::end_on_signal();
  const auto& stop = dry_run ? never : cli::stop_on_signal();
  std::unique_ptr<train::ProcessGroup> group;
  try {
    group = cli::join_ranks(config, stop);
  } catch (const train::StoppedEarly& reason) {
    log::warn(reason.what());
    return cli::kInterrupted;
  }
  if (!group) return train_model(config, dry_run, nullptr, stop);
  int code = cli::kFailed;
  std::string reason;
  try {
    code = train_model(config, dry_run, group.get(), stop);
    group->leave();
    return code;
  } catch (const train::StoppedEarly& stopped) {
    log::warn(stopped.what());
    std::_Exit(cli::kInterrupted);
  } catch (const UsageError& failure) {
    code = cli::kUsage;
    reason = failure.what();
  } catch (const std::exception& failure) {
    reason = message_of(failure);
  }
  log::error(reason);
  group->fail(reason);
  std::_Exit(code);  // what the group left unfinished would be waited for
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Pre-trains an AxLSTM (or the SSAST baseline) on audio by predicting masked spectrogram patches.\n"
      "Example: pretrain --config configs/pretrain/axlstm_tiny.yaml data.root=~/audio train.run_dir=runs/tiny"};
  cli::ConfigArguments arguments;
  arguments.add_to(app);
  cli::add_common_flags(app);
  bool dump_config = false, config_reference = false, dry_run = false;
  std::int64_t nproc = 0;
  cli::LaunchOptions launch;
  CLI::Option* several =
      app.add_option("--nproc", nproc, "Train with so many processes on this machine, one a GPU (docs/distributed.md)")
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
      return cli::kOk;
    }
    config::RunConfig config = arguments.read();
    config.train.run_dir = expand_home(config.train.run_dir).string();
    if (dump_config) {
      std::cout << config::dump(config);
      return cli::kOk;
    }
    if (nproc > 0 && !cli::is_launched()) return cli::start_ranks(config, argv, nproc, launch);
    return pretrain(config, dry_run);
  });
}
