#include "axlstm/suite/training.h"

#include <torch/torch.h>

#include <cstdlib>
#include <iostream>
#include <memory>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/distributed/join.h"
#include "axlstm/downstream/training_probe.h"
#include "axlstm/model/blocks.h"
#include "axlstm/runtime/device.h"
#include "axlstm/train/trainer.h"

namespace axlstm::suite {
namespace {

using Announce = std::function<void(const std::string& kernels)>;

/// Throws UsageError naming the key if this rank was given another configuration than rank 0.
void compare_configurations(distributed::ProcessGroup& group, const std::string& yaml) {
  const std::string first = group.gather(yaml).front();
  for (const std::string& key : config::changed_keys(first, yaml))
    throw UsageError(str("rank ", group.rank(), " has another value of ", key, " than rank 0"));
}

ExitCode train_model(const config::RunConfig& config, bool dry, distributed::ProcessGroup* group,
                     const std::atomic<bool>& stop, const Announce& announce) {
  const bool leads = !group || group->rank() == 0;
  const runtime::Arithmetic arithmetic(config.train.precision,
                                       group ? group->device() : runtime::choose_device(config.train.device));
  // Before the announcement, which tells the number.
  torch::set_num_threads(runtime::cpu_threads(config.train.threads, group ? group->sharers_of_cores() : 1));
  announce(model::kernel_plan(config.model, arithmetic).summary);
  const std::string yaml = config::dump(config);
  if (group) compare_configurations(*group, yaml);
  std::unique_ptr<train::RunFolder> folder;
  if (leads && dry) train::RunFolder::check_recipe(config.train.run_dir, yaml);
  if (leads && !dry) folder = std::make_unique<train::RunFolder>(config.train.run_dir, yaml);
  train::Trainer trainer(config, group);
  if (leads && !config.eval.probe.empty()) trainer.set_probe(downstream::open_probe(config, arithmetic.device));
  if (dry) {
    std::cout << trainer.dry_run();
    return kOk;
  }
  if (trainer.run(stop, std::move(folder)) == train::TrainingOutcome::kInterrupted) {
    if (leads) log::warn("interrupted; everything is saved, the same command resumes");
    return kInterrupted;
  }
  if (leads) log::info("finished: " + checkpoints::list_checkpoints(config.train.run_dir).back().string());
  return kOk;
}

ExitCode train_as_rank_or_alone(const config::RunConfig& config, bool dry, const std::atomic<bool>& stop,
                                const Announce& announce) {
  std::unique_ptr<distributed::ProcessGroup> group;
  try {
    group = distributed::join_ranks(config.train.device, config.distributed, stop);
  } catch (const distributed::StoppedEarly& reason) {
    log::warn(reason.what());
    return kInterrupted;
  }
  if (!group) return train_model(config, dry, nullptr, stop, announce);
  ExitCode code = kFailed;
  std::string reason;
  try {
    code = train_model(config, dry, group.get(), stop, announce);
    group->leave();
    return code;
  } catch (const distributed::StoppedEarly& stopped) {
    log::warn(stopped.what());
    std::_Exit(kInterrupted);
  } catch (const UsageError& failure) {
    code = kUsage;
    reason = failure.what();
  } catch (const std::exception& failure) {
    code = kFailed;
    reason = message_of(failure);
  }
  log::error(reason);
  group->fail(reason);
  std::_Exit(code);  // what the group left unfinished would be waited for
}

}  // namespace

ExitCode train(const config::RunConfig& config, const std::atomic<bool>& stop, const Announce& announce) {
  return train_as_rank_or_alone(config, /*dry=*/false, stop, announce);
}

ExitCode dry_run(const config::RunConfig& config, const Announce& announce) {
  static const std::atomic<bool> never{false};
  return train_as_rank_or_alone(config, /*dry=*/true, never, announce);
}

}  // namespace axlstm::suite
