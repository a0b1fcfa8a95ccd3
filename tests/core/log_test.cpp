#include "axlstm/core/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

namespace axlstm::log {
namespace {

/// Under ThreadSanitizer this also shows that writing, progress and the settings do not race.
TEST(Log, LinesOfManyThreadsAreWhole) {
  constexpr int kThreads = 4, kLines = 50;
  testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([thread] {
      for (int line = 0; line < kLines; ++line) {
        const std::string text = std::string(100, static_cast<char>('a' + thread));
        line % 3 == 0 ? progress(text, /*milestone=*/true) : line % 3 == 1 ? warn(text) : error(text);
        if (line % 10 == 0) set_quiet(false);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string captured = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(captured.begin(), captured.end(), '\n'), kThreads * kLines);
  for (int thread = 0; thread < kThreads; ++thread) {
    const std::string text = " " + std::string(100, static_cast<char>('a' + thread)) + "\n";
    int found = 0;
    for (std::size_t at = captured.find(text); at != std::string::npos; at = captured.find(text, at + 1)) ++found;
    EXPECT_EQ(found, kLines);
  }
}

TEST(Log, QuietHidesInformationOnly) {
  testing::internal::CaptureStderr();
  set_quiet(true);
  info("hidden");
  warn("shown");
  set_quiet(false);
  info("again");
  const std::string captured = testing::internal::GetCapturedStderr();
  EXPECT_EQ(captured.find("hidden"), std::string::npos);
  EXPECT_NE(captured.find("shown"), std::string::npos);
  EXPECT_NE(captured.find("again"), std::string::npos);
}

}  // namespace
}  // namespace axlstm::log
