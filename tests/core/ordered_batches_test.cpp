#include "axlstm/core/ordered_batches.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>

namespace axlstm {
namespace {

using Batch = std::vector<std::int64_t>;

/// Rows hold step · 100 + row; `pause` makes the workers finish out of order.
OrderedBatches<Batch>::Work counting(std::int64_t rows, bool pause = false) {
  return {[] {}, [rows](std::int64_t) { return std::make_unique<Batch>(static_cast<std::size_t>(rows), -1); },
          [pause](Batch& batch, std::int64_t step, std::int64_t row) {
            if (pause) std::this_thread::sleep_for(std::chrono::microseconds((step * 31 + row * 17) % 200));
            batch[static_cast<std::size_t>(row)] = step * 100 + row;
          }};
}

TEST(OrderedBatches, ComeInOrderAndWholeWhateverTheWorkers) {
  for (const std::int64_t workers : {1, 2, 7}) {
    for (const std::int64_t prefetch : {1, 3}) {
      OrderedBatches<Batch> batches({workers, 5, prefetch, 4}, counting(5, /*pause=*/true));
      for (std::int64_t step = 4; step < 60; ++step)
        EXPECT_EQ(*batches.take(), (Batch{step * 100, step * 100 + 1, step * 100 + 2, step * 100 + 3, step * 100 + 4}));
    }
  }
}

TEST(OrderedBatches, NoMoreThanThePrefetchedAreUnderWay) {
  std::atomic<std::int64_t> made{0};
  auto work = counting(2);
  work.make = [&](std::int64_t) {
    ++made;
    return std::make_unique<Batch>(2);
  };
  OrderedBatches<Batch> batches({4, 2, 3, 0}, std::move(work));
  for (std::int64_t taken = 1; taken < 50; ++taken) {
    batches.take();
    EXPECT_LE(made, taken + 3);
  }
}

TEST(OrderedBatches, ReadyMeansThatTakingDoesNotWait) {
  std::atomic<bool> open{false};
  auto work = counting(1);
  work.fill = [&](Batch& batch, std::int64_t, std::int64_t) {
    while (!open) std::this_thread::yield();
    batch[0] = 1;
  };
  OrderedBatches<Batch> batches({1, 1, 1, 0}, std::move(work));
  EXPECT_FALSE(batches.ready());
  open = true;
  while (!batches.ready()) std::this_thread::yield();
  EXPECT_EQ(*batches.take(), Batch{1});
}

TEST(OrderedBatches, WhatStopsAWorkerReachesTheTaker) {
  for (const int part : {0, 1, 2}) {
    auto work = counting(3);
    const auto fail = [part](int here, std::int64_t step) {
      if (part == here && step >= 5) throw std::runtime_error("at 5");
    };
    work.begin_thread = [&fail] { fail(0, 5); };
    work.make = [&fail](std::int64_t step) {
      fail(1, step);
      return std::make_unique<Batch>(3);
    };
    work.fill = [&fail](Batch&, std::int64_t step, std::int64_t) { fail(2, step); };
    OrderedBatches<Batch> batches({4, 3, 2, 0}, std::move(work));
    EXPECT_THROW(
        {
          for (int n = 0; n < 10; ++n) batches.take();
        },
        std::runtime_error)
        << part;
    EXPECT_FALSE(batches.ready());
  }
}

TEST(OrderedBatches, MayBeGivenUpAtAnyTime) {
  for (int n = 0; n < 50; ++n) {
    OrderedBatches<Batch> batches({3, 4, 2, 0}, counting(4, /*pause=*/true));
    for (int taken = 0; taken < n % 4; ++taken) batches.take();
  }
}

}  // namespace
}  // namespace axlstm
