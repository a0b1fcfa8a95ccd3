// Work on a sequence by many threads, results in the sequence's order: what comes out does not depend on the number of
// threads, and no more than a window of items is in memory.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace axlstm {

/// Calls `produce` until it returns nothing (by one thread at a time), `transform` on each item (by `threads` at once)
/// and `consume` on each result in order, by the calling thread, until it returns false. At most `window` items are
/// under way. Rethrows the first exception of the three, after all threads have ended.
template <typename Item, typename Result>
void ordered_parallel(const std::function<std::optional<Item>()>& produce,
                      const std::function<Result(Item&&)>& transform, const std::function<bool(Result&&)>& consume,
                      std::size_t threads, std::size_t window) {
  std::mutex producing, mutex;  // `producing` is taken first
  std::condition_variable room, ready;
  std::deque<std::shared_ptr<std::optional<Result>>> slots;  // of the items under way, in order
  bool ended = false;
  std::exception_ptr failure;

  const auto end = [&](std::exception_ptr reason) {
    const std::lock_guard lock(mutex);
    ended = true;
    if (!failure) failure = std::move(reason);
    room.notify_all();
    ready.notify_all();
  };
  const auto work = [&] {
    try {
      while (true) {
        std::optional<Item> item;
        std::shared_ptr<std::optional<Result>> slot;
        {
          const std::lock_guard turn(producing);
          {
            std::unique_lock lock(mutex);
            room.wait(lock, [&] { return ended || slots.size() < window; });
            if (ended) return;
          }
          item = produce();
          if (!item) return end(nullptr);
          slot = std::make_shared<std::optional<Result>>();
          const std::lock_guard lock(mutex);
          slots.push_back(slot);
        }
        Result result = transform(std::move(*item));
        const std::lock_guard lock(mutex);
        *slot = std::move(result);
        ready.notify_all();
      }
    } catch (...) {
      end(std::current_exception());
    }
  };

  std::vector<std::thread> workers;
  try {
    for (std::size_t n = 0; n < std::max<std::size_t>(threads, 1); ++n) workers.emplace_back(work);
    while (true) {
      std::optional<Result> result;
      {
        std::unique_lock lock(mutex);
        ready.wait(lock, [&] { return failure || (slots.empty() ? ended : slots.front()->has_value()); });
        if (failure || slots.empty()) break;
        result = std::move(*slots.front());
        slots.pop_front();
        room.notify_all();
      }
      if (!consume(std::move(*result))) break;
    }
    end(nullptr);
  } catch (...) {
    end(std::current_exception());
  }
  for (std::thread& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace axlstm
