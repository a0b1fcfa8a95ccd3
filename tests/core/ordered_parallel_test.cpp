#include "axlstm/core/ordered_parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>

namespace axlstm {
namespace {

std::function<std::optional<int>()> count_to(int end, int& next) {
  return [end, &next]() -> std::optional<int> { return next < end ? std::optional(next++) : std::nullopt; };
}

TEST(OrderedParallel, ResultsComeInOrderWhateverTheThreads) {
  for (const std::size_t threads : {1, 2, 7}) {
    int next = 0;
    std::vector<int> results;
    ordered_parallel<int, int>(
        count_to(200, next),
        [](int&& x) {
          std::this_thread::sleep_for(std::chrono::microseconds((x * 37) % 200));
          return x * x;
        },
        [&](int&& result) {
          results.push_back(result);
          return true;
        },
        threads, 5);
    ASSERT_EQ(results.size(), 200U);
    for (int n = 0; n < 200; ++n) EXPECT_EQ(results[static_cast<std::size_t>(n)], n * n);
  }
}

TEST(OrderedParallel, NoMoreThanTheWindowIsUnderWay) {
  int next = 0;
  std::atomic<int> alive{0};
  int most = 0;
  ordered_parallel<int, int>(
      count_to(100, next),
      [&](int&& x) {
        ++alive;
        return x;
      },
      [&](int&&) {
        most = std::max(most, alive.load());
        --alive;
        return true;
      },
      4, 6);
  EXPECT_LE(most, 7);  // the window, and the one that is being consumed
}

TEST(OrderedParallel, ConsumingCanStopEarly) {
  int next = 0, consumed = 0;
  ordered_parallel<int, int>(
      count_to(1000000, next), [](int&& x) { return x; }, [&](int&&) { return ++consumed < 10; }, 3, 4);
  EXPECT_EQ(consumed, 10);
  EXPECT_LT(next, 100);
}

TEST(OrderedParallel, WhatIsUnderWayWeighsNoMoreThanAllowed) {
  std::atomic<int> under_way{0}, most{0};
  int next = 0, sum = 0;
  ordered_parallel<int, int>(
      count_to(200, next),
      [&](int&& x) {
        const int now = under_way += 10;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) continue;
        std::this_thread::yield();
        return x;
      },
      [&](int&& x) {
        sum += x;
        under_way -= 10;
        return true;
      },
      8, 32, {[](const int&) { return std::uint64_t{10}; }, 30});
  EXPECT_EQ(sum, 199 * 200 / 2);
  EXPECT_LE(most, 40);  // three, and the one that is being consumed
}

TEST(OrderedParallel, AnItemHeavierThanAllowedGoesAlone) {
  int next = 0, count = 0;
  ordered_parallel<int, int>(
      count_to(20, next), [](int&& x) { return x; },
      [&](int&&) {
        ++count;
        return true;
      },
      4, 8, {[](const int&) { return std::uint64_t{100}; }, 1});
  EXPECT_EQ(count, 20);
}

TEST(OrderedParallel, NothingToDoIsDone) {
  int next = 0;
  ordered_parallel<int, int>(
      count_to(0, next), [](int&& x) { return x; }, [](int&&) { return true; }, 3, 4);
}

TEST(OrderedParallel, AnExceptionOfAnyPartEndsItAll) {
  for (int part = 0; part < 3; ++part) {
    int next = 0;
    const auto fail = [&](int here, int value) {
      if (part == here && value == 20) throw std::runtime_error("at 20");
    };
    EXPECT_THROW((ordered_parallel<int, int>(
                     [&]() -> std::optional<int> {
                       fail(0, next);
                       return next++;
                     },
                     [&](int&& x) {
                       fail(1, x);
                       return x;
                     },
                     [&](int&& x) {
                       fail(2, x);
                       return true;
                     },
                     4, 8)),
                 std::runtime_error)
        << part;
  }
}

}  // namespace
}  // namespace axlstm
