// A thread that does one thing after the other. std::async makes a new one each time, for which libraries set up anew
// what they keep for each thread: cuDNN, for instance, its plans of attention.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>
#include <type_traits>
#include <utility>

namespace axlstm {

class Worker {
 public:
  Worker() : thread_([this] { run(); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Does first what it was given.
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    news_.notify_one();
  }

  /// Work to do after what was given before; its result, or what it throws, is the future's.
  template <typename Work>
  std::future<std::invoke_result_t<Work>> give(Work work) {
    auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Work>()>>(std::move(work));
    auto result = task->get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.emplace([task] { (*task)(); });
    }
    news_.notify_one();
    return result;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      news_.wait(lock, [this] { return ended_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const auto task = std::move(tasks_.front());
      tasks_.pop();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable news_;
  std::queue<std::function<void()>> tasks_;
  bool ended_ = false;
  std::jthread thread_;  ///< last: it uses the rest
};

}  // namespace axlstm
