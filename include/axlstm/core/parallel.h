// Work on many things by several threads, in about their order and without a result; ordered_parallel.h gives results.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace axlstm {

/// Calls work(i) once for each i from 0 to `count` - 1: the next one whenever one of up to `threads` threads is free,
/// until `stop` is true. Each thread makes its work by begin(thread), thread counting from 0, and drops it at its end,
/// so that what a thread needs can live in it. The first exception ends the work and is thrown when all threads have
/// ended.
template <typename Begin>
void for_each_index(std::size_t count, std::size_t threads, const Begin& begin,
                    const std::atomic<bool>* stop = nullptr) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  std::exception_ptr failure;
  std::mutex mutex;  // of failure
  const auto run = [&](std::size_t thread) {
    try {
      const auto work = begin(thread);
      while (!failed && (stop == nullptr || !*stop)) {
        const std::size_t i = next++;
        if (i >= count) break;
        work(i);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      failed = true;
    }
  };
  {
    std::vector<std::jthread> workers;  // joined even if the system refuses one of them
    for (std::size_t thread = 0; thread < std::min(std::max<std::size_t>(1, threads), count); ++thread)
      workers.emplace_back(run, thread);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace axlstm
