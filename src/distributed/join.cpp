#include "axlstm/distributed/join.h"

#include <c10/util/Logging.h>
#include <torch/torch.h>

#include <cstdlib>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/runtime/device.h"

namespace axlstm::distributed {

std::unique_ptr<ProcessGroup> join_ranks(runtime::DeviceChoice device, const DistributedOptions& options,
                                         const std::atomic<bool>& stop) {
  std::string note;
  const auto rank = launch::rank_from(process_environment(), &note);
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
  return std::make_unique<ProcessGroup>(*rank, rank_device(*rank, device), options, &stop);
}

int start_ranks(runtime::DeviceChoice device, char** argv, std::int64_t count, const launch::LaunchOptions& options) {
  if (const auto launcher = launch::other_launcher(process_environment()))
    throw UsageError(str("--nproc and ", *launcher, " both start ranks; leave one of them away"));
  const bool on_gpus = device != runtime::DeviceChoice::kCpu && torch::cuda::is_available();
  const std::size_t gpus = on_gpus ? runtime::choose_devices(device).size() : 0;
  if (on_gpus && static_cast<std::size_t>(count) > gpus)
    throw UsageError(str("--nproc is ", count, ", but there are ", gpus, " GPUs; train.device=cpu takes any number"));
  return launch::launch(argv, count, options);
}

}  // namespace axlstm::distributed
