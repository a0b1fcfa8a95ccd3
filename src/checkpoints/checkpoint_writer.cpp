#include "axlstm/checkpoints/checkpoint_writer.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm::checkpoints {
namespace {

void copy_to_memory(std::map<std::string, torch::Tensor>& tensors) {
  for (auto& [name, tensor] : tensors) tensor = tensor.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true);
}

}  // namespace

CheckpointWriter::CheckpointWriter(std::filesystem::path run_dir, const Retention& retention)
    : run_dir_(std::move(run_dir)), retention_(retention), thread_([this] { work(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::start(const Checkpoint& checkpoint) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !pending_; });
  Checkpoint copy = checkpoint;
  for (auto* tensors : {&copy.model, &copy.optimizer, &copy.ema}) copy_to_memory(*tensors);
  pending_ = std::move(copy);
  changed_.notify_all();
}

void CheckpointWriter::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !pending_; });
}

void CheckpointWriter::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !pending_; });
  AXLSTM_CHECK(failure_.empty(), failure_);
}

std::optional<std::int64_t> CheckpointWriter::written_step() const {
  const std::lock_guard lock(mutex_);
  return written_step_;
}

void CheckpointWriter::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return pending_ || stopping_; });
    if (!pending_) return;
    std::string failure;
    lock.unlock();
    try {
      save_checkpoint(run_dir_, *pending_, retention_);
    } catch (const std::exception& reason) {
      failure = reason.what();
      log::error(str("checkpoint of step ", pending_->step, " was not written: ", failure));
    }
    lock.lock();
    if (failure.empty()) written_step_ = pending_->step;
    failure_ = failure;
    pending_.reset();
    changed_.notify_all();
  }
}

}  // namespace axlstm::checkpoints
