// Batches that worker threads fill ahead, row by row, for one thread that takes them in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace axlstm {

struct OrderedBatchesOptions {
  std::int64_t workers = 1;
  std::int64_t rows = 1;      ///< of each batch
  std::int64_t prefetch = 1;  ///< batches under way at most
  std::int64_t first_step = 0;
};

template <typename Batch>
class OrderedBatches {
 public:
  struct Work {
    std::function<void()> begin_thread;  ///< once in each worker
    std::function<std::unique_ptr<Batch>(std::int64_t step)>
        make;  ///< an empty batch; by one thread at a time, in order
    std::function<void(Batch& batch, std::int64_t step, std::int64_t row)> fill;  ///< one row; by all workers at once
  };

  OrderedBatches(const OrderedBatchesOptions& options, Work work)
      : options_(options),
        work_(std::move(work)),
        front_step_(options.first_step),
        ticket_(options.first_step * options.rows) {
    // Keep the lock until every worker exists: a worker that starts early could itself need threads that the system
    // refuses to create.
    std::unique_lock lock(mutex_);
    try {
      for (std::int64_t n = 0; n < options_.workers; ++n) threads_.emplace_back([this] { run(); });
    } catch (...) {
      stopping_ = true;
      lock.unlock();
      stop();
      throw;
    }
  }
  ~OrderedBatches() { stop(); }
  OrderedBatches(const OrderedBatches&) = delete;
  OrderedBatches& operator=(const OrderedBatches&) = delete;

  /// Waits for the next step's batch. Rethrows what stopped a worker.
  std::unique_ptr<Batch> take() {
    std::unique_lock lock(mutex_);
    batch_ready_.wait(lock, [&] { return failure_ || (!slots_.empty() && slots_.front().missing == 0); });
    if (failure_) std::rethrow_exception(failure_);
    auto batch = std::move(slots_.front().batch);
    slots_.pop_front();
    ++front_step_;
    work_available_.notify_all();
    return batch;
  }

  /// True if take() would not wait.
  bool ready() {
    const std::lock_guard lock(mutex_);
    return !failure_ && !slots_.empty() && slots_.front().missing == 0;
  }

 private:
  struct Slot {
    std::unique_ptr<Batch> batch;
    std::int64_t missing = 0;  ///< rows not yet filled
  };

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_available_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run() {
    std::unique_lock lock(mutex_);
    try {
      work_.begin_thread();
      while (true) {
        work_available_.wait(
            lock, [&] { return stopping_ || failure_ || ticket_ / options_.rows < front_step_ + options_.prefetch; });
        if (stopping_ || failure_) return;
        const std::int64_t step = ticket_ / options_.rows, row = ticket_ % options_.rows;
        if (row == 0) slots_.push_back({work_.make(step), options_.rows});
        ++ticket_;
        Slot& slot = slots_[static_cast<std::size_t>(step - front_step_)];  // a deque does not move what it holds
        lock.unlock();
        work_.fill(*slot.batch, step, row);
        lock.lock();
        if (--slot.missing == 0) batch_ready_.notify_all();
      }
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      if (!failure_) failure_ = std::current_exception();
      batch_ready_.notify_all();
      work_available_.notify_all();
    }
  }

  OrderedBatchesOptions options_;
  Work work_;
  std::mutex mutex_;
  std::condition_variable work_available_, batch_ready_;
  std::deque<Slot> slots_;  ///< batches under way; the first is of step `front_step_`
  std::int64_t front_step_;
  std::int64_t ticket_;  ///< next row to be filled, as step · rows + row
  std::exception_ptr failure_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace axlstm
