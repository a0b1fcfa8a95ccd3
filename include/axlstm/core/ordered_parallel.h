// Work on a sequence by many threads, results in the sequence's order: what comes out does not depend on the number of
// threads, and no more than a window of items is in memory.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
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

/// A bound for what the items under way take together: `weight` of each, such as bytes. One alone may weigh more.
template <typename Item>
struct WeightLimit {
  std::function<std::uint64_t(const Item&)> weight;
  std::uint64_t most = 0;
};

/// Calls `produce` until it returns nothing (by one thread at a time), `transform` on each item (by `threads` at once)
/// and `consume` on each result in order, by the calling thread, until it returns false. At most `window` items are
/// under way, and no more than `limit` lets. Rethrows the first exception of the three, after all threads have ended.
template <typename Item, typename Result>
void ordered_parallel(const std::function<std::optional<Item>()>& produce,
                      const std::function<Result(Item&&)>& transform, const std::function<bool(Result&&)>& consume,
                      std::size_t threads, std::size_t window, const WeightLimit<Item>& limit = {}) {
  std::mutex producing, mutex;  // `producing` is taken first
  std::condition_variable room, ready;
  struct Slot {
    std::optional<Result> result;
    std::uint64_t weight = 0;
  };
  std::deque<std::shared_ptr<Slot>> slots;  // of the items under way, in order
  std::uint64_t weight_under_way = 0;
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
        const auto slot = std::make_shared<Slot>();
        {
          const std::lock_guard turn(producing);
          {
            std::unique_lock lock(mutex);
            room.wait(lock, [&] { return ended || slots.size() < window; });
            if (ended) return;
          }
          item = produce();
          if (!item) return end(nullptr);
          slot->weight = limit.weight ? limit.weight(*item) : 0;
          std::unique_lock lock(mutex);
          room.wait(lock, [&] { return ended || slots.empty() || weight_under_way + slot->weight <= limit.most; });
          if (ended) return;
          weight_under_way += slot->weight;
          slots.push_back(slot);
        }
        Result result = transform(std::move(*item));
        const std::lock_guard lock(mutex);
        slot->result = std::move(result);
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
        ready.wait(lock, [&] { return failure || (slots.empty() ? ended : slots.front()->result.has_value()); });
        if (failure || slots.empty()) break;
        result = std::move(slots.front()->result);
        weight_under_way -= slots.front()->weight;
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
