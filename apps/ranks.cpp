#include "ranks.h"

#include <c10/util/Logging.h>
#include <torch/torch.h>

#include <cstdlib>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/train/trainer.h"

namespace axlstm::cli {

std::unique_ptr<train::ProcessGroup> join_ranks(const config::RunConfig& config, const std::atomic<bool>& stop) {
  std::string note;
  const auto rank = train::rank_from(process_environment(), &note);
  if (!note.empty()) log::info(note);
  if (!rank) return nullptr;
  // Connections that end are logged with a stack trace by LibTorch; what matters is said by the heartbeat. The variable
  // counts only once logging is initialised, which only Python does by itself.
  ::setenv("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/0);
  c10::initLogging();
  if (rank->rank > 0) {
    log::set_source(str("rank ", rank->rank));
    log::set_quiet(true);
  }
  return std::make_unique<train::ProcessGroup>(*rank, train::rank_device(*rank, config.train.device),
                                               config.distributed, &stop);
}

void compare_configurations(train::ProcessGroup& group, const std::string& yaml) {
  const std::string first = group.gather(yaml).front();
  for (const std::string& key : config::changed_keys(first, yaml))
    throw UsageError(str("rank ", group.rank(), " has another value of ", key, " than rank 0"));
}

int start_ranks(const config::RunConfig& config, char** argv, std::int64_t count, const LaunchOptions& options) {
  if (const auto launcher = train::other_launcher(process_environment()))
    throw UsageError(str("--nproc and ", *launcher, " both start ranks; leave one of them away"));
  const auto gpus = static_cast<std::int64_t>(torch::cuda::device_count());
  const bool on_gpus = config.train.device != train::DeviceChoice::kCpu && torch::cuda::is_available();
  if (on_gpus && count > gpus)
    throw UsageError(str("--nproc is ", count, ", but there are ", gpus, " GPUs; train.device=cpu takes any number"));
  return launch(argv, count, options);
}

}  // namespace axlstm::cli
