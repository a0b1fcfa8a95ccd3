// How the ranks of a run talk to each other: sums over all of them, and short texts.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/distributed/options.h"
#include "axlstm/launch/rank.h"
#include "axlstm/runtime/options.h"

namespace axlstm::distributed {

/// A signal asked for the end while ranks waited for each other, before there was anything to save.
class StoppedEarly : public Error {
 public:
  using Error::Error;
};

/// c10d with NCCL on GPUs and Gloo on the CPU. Every method but fail() is called by all ranks in the same order. A
/// rank that dies or fails ends the others: those wait in a sum that will never be complete, so a thread of each
/// watches the others and ends the process with exit code 1 and a message that names the rank.
class ProcessGroup {
 public:
  /// Meets the other ranks. `device`: a GPU of this rank's own, or the CPU. Throws Error if they do not come within
  /// distributed.timeout_s, UsageError if this build cannot do it, StoppedEarly if `stop` turns true meanwhile or, in
  /// gather(), before training_begins(); the others end then too.
  ProcessGroup(const launch::Rank& rank, const torch::Device& device, const DistributedOptions& options,
               const std::atomic<bool>* stop = nullptr);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  std::int64_t rank() const { return rank_.rank; }
  std::int64_t world_size() const { return rank_.world_size; }
  /// Ranks that may run on the same cores as this one, itself included.
  std::int64_t sharers_of_cores() const { return sharers_of_cores_; }
  const torch::Device& device() const { return device_; }

  /// Such as "4 ranks on 2 machines, NCCL".
  std::string description() const;

  /// Starts adding `tensor` (contiguous, on device()) up over the ranks, in place. The returned function makes this
  /// thread's stream wait for it, on the CPU the thread itself.
  std::function<void()> start_sum(const torch::Tensor& tensor);

  void sum(const torch::Tensor& tensor) { start_sum(tensor)(); }

  /// Gives all ranks rank 0's values, in place.
  void broadcast(const std::vector<torch::Tensor>& tensors);

  /// Everybody's text, by rank.
  std::vector<std::string> gather(const std::string& text);

  /// From now on a stop is the trainer's to deal with: there is something to save.
  void training_begins() { stop_ = nullptr; }

  /// Returns when all have called it: ranks that are done wait for rank 0 to write what it has to.
  void leave();

  /// Tells the others why this rank ends. They end too.
  void fail(const std::string& reason) noexcept;

 private:
  struct Connection;

  launch::Rank rank_;
  std::chrono::milliseconds timeout_;
  const std::atomic<bool>* stop_;
  torch::Device device_;
  std::int64_t sharers_of_cores_ = 1, machines_ = 1;
  std::unique_ptr<Connection> connection_;
};

/// What this program was built with to connect ranks.
std::string process_group_backends();

/// The device of a rank: by its local number, or the only GPU that its launcher lets it see. Makes it the current one.
/// Throws UsageError where there are fewer GPUs than ranks.
torch::Device rank_device(const launch::Rank& rank, runtime::DeviceChoice choice);

}  // namespace axlstm::distributed
