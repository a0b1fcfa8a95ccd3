#include "axlstm/distributed/process_group.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/runtime/device.h"
#include "heartbeat.h"
#include "meeting.h"

namespace axlstm::distributed {
namespace {

using std::chrono::milliseconds;

milliseconds to_milliseconds(double seconds) { return milliseconds(static_cast<std::int64_t>(1000 * seconds)); }

c10::intrusive_ptr<c10d::Backend> open_backend(const c10::intrusive_ptr<c10d::Store>& store, const launch::Rank& rank,
                                               const torch::Device& device, [[maybe_unused]] milliseconds timeout) {
  const auto prefixed = c10::make_intrusive<c10d::PrefixStore>("backend", store);
  [[maybe_unused]] const int number = static_cast<int>(rank.rank), world_size = static_cast<int>(rank.world_size);
  if (device.is_cuda()) {
#ifdef USE_C10D_NCCL
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(prefixed, number, world_size, std::move(options));
#else
    throw UsageError(
        "several ranks on GPUs need NCCL, which this program was built without (cmake says why); one rank "
        "does not, nor does train.device=cpu");
#endif
  }
#ifdef USE_C10D_GLOO
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(rank.address == "127.0.0.1" ? c10d::ProcessGroupGloo::createDeviceForHostname(rank.address)
                                                         : c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(prefixed, number, world_size, std::move(options));
#else
  throw UsageError("several ranks on the CPU need Gloo, which this program was built without (cmake says why)");
#endif
}

std::string host_name() {
  char name[256] = "?";
  ::gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

struct ProcessGroup::Connection {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;
  std::unique_ptr<Heartbeat> heartbeat;
  std::string name;  ///< of this rank, in messages
  std::int64_t gathered = 0;

  /// Runs something that needs the other ranks. If it fails for their sake, the heartbeat tells which one is gone.
  template <typename Function>
  auto guard(const char* what, const Function& function) {
    try {
      return function();
    } catch (const std::exception& failure) {
      const std::string reason = message_of(failure);
      if (heartbeat) heartbeat->wait_for_verdict();
      throw Error(str(what, " failed: ", reason));
    }
  }
};

ProcessGroup::ProcessGroup(const launch::Rank& rank, const torch::Device& device, const DistributedOptions& options,
                           const std::atomic<bool>* stop)
    : rank_(rank),
      timeout_(to_milliseconds(options.timeout_s)),
      stop_(stop),
      device_(device),
      connection_(std::make_unique<Connection>()) {
  const Patience patience(rank, timeout_, stop);
  auto& [store, backend, heartbeat, name, gathered] = *connection_;
  const auto whole_store = connect(rank, /*serve=*/true, timeout_, patience);
  const std::string prefix = agree_on_prefix(*whole_store, rank, patience);
  store = c10::make_intrusive<c10d::PrefixStore>(prefix, whole_store);
  store->setTimeout(timeout_);
  const std::string host = host_name();
  name = str("rank ", rank.rank, " (", host, ", process ", ::getpid(), ")");
  const auto hosts = gather(host);                         // names whoever does not come
  const std::string cores = host + " " + affinity_mask();  // a launcher may have bound each rank to cores of its own
  const auto everybodys_cores = gather(cores);
  sharers_of_cores_ = std::count(everybodys_cores.begin(), everybodys_cores.end(), cores);
  machines_ = static_cast<std::int64_t>(std::set(hosts.begin(), hosts.end()).size());
  const auto second_connection = connect(rank, /*serve=*/false, timeout_, patience);
  heartbeat = std::make_unique<Heartbeat>(c10::make_intrusive<c10d::PrefixStore>(prefix, second_connection), rank,
                                          gather(name), options.heartbeat_s);
  backend = open_backend(store, rank, device, timeout_);
  const auto ones = torch::ones({1}, torch::dtype(torch::kFloat32).device(device));
  sum(ones);  // NCCL connects at the first use
  AXLSTM_CHECK(ones.item<float>() == static_cast<float>(rank.world_size), "the first sum over ", rank.world_size,
               " ranks gave ", ones.item<float>());
}

ProcessGroup::~ProcessGroup() {
  if (connection_->heartbeat) connection_->heartbeat->stop();
}

std::string ProcessGroup::description() const {
  return str(world_size(), world_size() == 1 ? " rank" : " ranks", " on ", machines_,
             machines_ == 1 ? " machine, " : " machines, ", device_.is_cuda() ? "NCCL" : "Gloo", ", started by ",
             rank_.launcher);
}

std::function<void()> ProcessGroup::start_sum(const torch::Tensor& tensor) {
  return connection_->guard("a sum over the ranks", [&]() -> std::function<void()> {
    std::vector<torch::Tensor> tensors{tensor};
    return [this, work = connection_->backend->allreduce(tensors)] {
      connection_->guard("a sum over the ranks", [&] { work->wait(); });
    };
  });
}

void ProcessGroup::broadcast(const std::vector<torch::Tensor>& tensors) {
  connection_->guard("giving all ranks the values of rank 0", [&] {
    for (const auto& tensor : tensors) {
      std::vector<torch::Tensor> one{tensor.detach()};
      connection_->backend->broadcast(one)->wait();
    }
  });
}

std::vector<std::string> ProcessGroup::gather(const std::string& text) {
  const auto key = [&](std::int64_t rank) { return str("text/", connection_->gathered, "/", rank); };
  auto& store = *connection_->store;
  std::vector<std::string> texts;
  connection_->guard("talking to the other ranks", [&] { store.set(key(rank()), text); });
  const Patience patience(rank_, timeout_, stop_);
  for (std::int64_t other = 0; other < world_size(); ++other) {
    const auto who = [&] { return str("rank ", other, " of ", world_size()); };
    try {
      const auto has_come = [&] {
        if (!connection_->heartbeat && store.check({kStoppedEarly}))
          throw StoppedEarly(store.get_to_str(kStoppedEarly) + " was told to stop before training began");
        return store.check({key(other)});
      };
      patience.until(has_come, who);
      texts.push_back(store.get_to_str(key(other)));
    } catch (const StoppedEarly&) {
      store.set(kStoppedEarly, connection_->name);
      if (rank() == 0) std::this_thread::sleep_for(kTimeToRead);
      throw;
    } catch (const std::exception& failure) {
      if (connection_->heartbeat) connection_->heartbeat->wait_for_verdict();
      throw Error(str("talking to ", who(), " failed: ", message_of(failure)));
    }
  }
  ++connection_->gathered;
  return texts;
}

void ProcessGroup::leave() {
  auto& store = *connection_->store;
  connection_->guard("ending together", [&] {
    // Rank 0 may still be writing its last checkpoint, for longer than a sum may take.
    const auto wait_for = [&](const std::string& key) {
      while (!store.check({key})) std::this_thread::sleep_for(milliseconds(50));
    };
    if (rank() > 0) {
      wait_for("finished");
      connection_->heartbeat->stop();
      store.set(str("left/", rank()), "");
      connection_->backend->shutdown();  // of NCCL: all ranks at once, each waits for the others
      return;
    }
    store.set("finished", "");
    for (std::int64_t other = 1; other < world_size(); ++other) wait_for(str("left/", other));
    connection_->heartbeat->stop();
    connection_->backend->shutdown();
  });
}

void ProcessGroup::fail(const std::string& reason) noexcept {
  try {
    if (world_size() > 1) connection_->store->set(Heartbeat::kFailed, connection_->name + " failed: " + reason);
    connection_->heartbeat->stop();
    if (rank() == 0 && world_size() > 1) std::this_thread::sleep_for(kTimeToRead);
  } catch (const std::exception&) {  // the store is gone, so no rank could read the reason
  }
}

std::string process_group_backends() {
  std::string names;
#ifdef USE_C10D_NCCL
  names += "NCCL (GPUs)";
#endif
#ifdef USE_C10D_GLOO
  names += names.empty() ? "Gloo (CPU)" : ", Gloo (CPU)";
#endif
  return names.empty() ? "none" : names;
}

torch::Device rank_device(const launch::Rank& rank, runtime::DeviceChoice choice) {
  if (runtime::choose_device(choice).is_cpu()) return torch::kCPU;
  const auto count = static_cast<std::int64_t>(runtime::choose_devices(choice).size());
  if (rank.local_rank >= count && count > 1) {
    throw UsageError(str("rank ", rank.rank, " is number ", rank.local_rank, " on its machine, which has ", count,
                         " GPUs: start one rank a GPU, or set train.device=cpu"));
  }
  const torch::Device device(torch::kCUDA, static_cast<c10::DeviceIndex>(count == 1 ? 0 : rank.local_rank));
  c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
  return device;
}

}  // namespace axlstm::distributed
