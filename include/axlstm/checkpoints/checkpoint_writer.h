// Checkpoints written beside the training, so that the GPU does not wait for the disk.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "axlstm/checkpoints/checkpoint.h"

namespace axlstm::checkpoints {

/// Used by one thread. A failed write is logged and costs that checkpoint, not the run or the older ones.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path run_dir, const Retention& retention);

  /// Waits for the write under way, and for one begun by start().
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Copies the tensors, which training changes meanwhile, and returns; first waits for the write before, if it is
  /// still under way.
  void start(const Checkpoint& checkpoint);

  /// Waits until nothing is under way.
  void wait();

  /// The same; throws Error if the last checkpoint could not be written.
  void finish();

  /// Step of the newest checkpoint that is whole; nothing if this writer wrote none.
  std::optional<std::int64_t> written_step() const;

 private:
  void work();

  std::filesystem::path run_dir_;
  Retention retention_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Checkpoint> pending_;  ///< being written
  std::optional<std::int64_t> written_step_;
  std::string failure_;  ///< of the last write
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace axlstm::checkpoints
