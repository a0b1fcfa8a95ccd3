#include "axlstm/core/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace axlstm {
namespace {

/// The exit code of `sh -c script`.
int shell(const char* script, const std::function<void()>& prepare) {
  const char* argv[] = {"sh", "-c", script, nullptr};
  const pid_t process = start_process("/bin/sh", const_cast<char* const*>(argv), prepare);
  EXPECT_GT(process, 0);
  int status = 0;
  EXPECT_EQ(::waitpid(process, &status, 0), process);
  return exit_code_of(status);
}

TEST(StartProcess, RunsTheProgramAfterWhatPreparesIt) {
  EXPECT_EQ(shell("exit 3", [] {}), 3);
  EXPECT_EQ(shell("exit $CODE", [] { ::setenv("CODE", "5", 1); }), 5);
  EXPECT_EQ(shell("kill -9 $$", [] {}), 128 + SIGKILL);
}

TEST(StartProcess, WhatCannotBeStartedSaysSo) {
  const char* argv[] = {"nothing", nullptr};
  const pid_t process = start_process("/no/such/program", const_cast<char* const*>(argv), [] {});
  int status = 0;
  ASSERT_EQ(::waitpid(process, &status, 0), process);
  EXPECT_EQ(exit_code_of(status), kCannotStart);
}

TEST(StartProcess, TheProgramEndsWithTheThreadThatStartedIt) {
  pid_t process = -1;
  std::thread([&] {
    const char* argv[] = {"sleep", "60", nullptr};
    process = start_process("/bin/sleep", const_cast<char* const*>(argv), [] {});
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }).join();
  int status = 0;
  ASSERT_EQ(::waitpid(process, &status, 0), process);
  EXPECT_EQ(exit_code_of(status), 128 + SIGTERM);
}

}  // namespace
}  // namespace axlstm
