#include "axlstm/core/parallel.h"

#include <gtest/gtest.h>

#include <string>

#include "axlstm/core/error.h"
#include "support/expect_error.h"

namespace axlstm {
namespace {

TEST(ForEachIndex, EachIsWorkedOnOnce) {
  for (const std::size_t threads : {0, 1, 3, 50}) {
    std::vector<std::atomic<int>> calls(40);
    for_each_index(calls.size(), threads, [&](std::size_t) { return [&](std::size_t i) { ++calls[i]; }; });
    for (const auto& count : calls) EXPECT_EQ(count, 1);
  }
  for_each_index(0, 3, [](std::size_t) { return [](std::size_t) { ADD_FAILURE(); }; });
}

TEST(ForEachIndex, AThreadKeepsWhatItBeganWith) {
  std::atomic<int> begun = 0;
  std::vector<std::thread::id> began(3);
  for_each_index(100, 3, [&](std::size_t thread) {
    ++begun;
    began[thread] = std::this_thread::get_id();
    return [&began, thread](std::size_t) { EXPECT_EQ(began[thread], std::this_thread::get_id()); };
  });
  EXPECT_EQ(begun, 3);
}

TEST(ForEachIndex, AStopEndsIt) {
  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0;
  for_each_index(
      1000, 2,
      [&](std::size_t) {
        return [&](std::size_t) {
          if (++calls >= 10) stop = true;
        };
      },
      &stop);
  EXPECT_GE(calls, 10);
  EXPECT_LE(calls, 11);
}

TEST(ForEachIndex, TheFirstFailureIsThrownAndEndsIt) {
  constexpr std::size_t kCount = 1'000'000'000;  // more than the other thread can do while an exception is under way
  std::atomic<std::size_t> calls = 0;
  test::expect_error(
      [&] {
        for_each_index(kCount, 2, [&](std::size_t) {
          return [&](std::size_t) {
            if (++calls == 5) throw Error("five");
          };
        });
      },
      {"five"});
  EXPECT_LT(calls, kCount);
}

}  // namespace
}  // namespace axlstm
