#include "axlstm/core/descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "support/expect_error.h"

namespace axlstm {
namespace {

class Descriptors : public testing::Test {
 protected:
  Descriptors() {
    std::signal(SIGPIPE, SIG_IGN);
    if (::pipe(ends_.data()) != 0) throw std::runtime_error("no pipe");
  }
  ~Descriptors() override {
    for (const int end : ends_) {
      if (end >= 0) ::close(end);
    }
  }
  void close(std::size_t end) {
    ::close(ends_[end]);
    ends_[end] = -1;
  }

  std::array<int, 2> ends_{};
  std::array<char, 100> bytes_{};
  std::atomic<bool> stop_{false};
};

TEST_F(Descriptors, WhatIsThereIsReadWithoutWaitingForMore) {
  ASSERT_TRUE(write_all(ends_[1], "abc", "pipe"));
  ASSERT_EQ(read_available(ends_[0], bytes_.data(), bytes_.size(), stop_, "pipe"), 3U);
  EXPECT_EQ(std::string_view(bytes_.data(), 3), "abc");
  close(1);
  EXPECT_EQ(read_available(ends_[0], bytes_.data(), bytes_.size(), stop_, "pipe"), 0U);
}

TEST_F(Descriptors, AStopEndsTheWait) {
  std::thread later([&] { stop_ = true; });
  EXPECT_EQ(read_available(ends_[0], bytes_.data(), bytes_.size(), stop_, "pipe"), 0U);
  later.join();
}

TEST_F(Descriptors, MoreThanFitsIsWrittenAsItIsRead) {
  ::fcntl(ends_[1], F_SETFL, O_NONBLOCK);  // as a program before may have left it
  const std::string much(1 << 20, 'x');
  std::thread writer([&] {
    EXPECT_TRUE(write_all(ends_[1], much, "pipe"));
    close(1);
  });
  std::size_t got = 0;
  while (const std::size_t more = read_available(ends_[0], bytes_.data(), bytes_.size(), stop_, "pipe")) got += more;
  writer.join();
  EXPECT_EQ(got, much.size());
}

TEST_F(Descriptors, AReaderThatIsGoneIsNoError) {
  close(0);
  EXPECT_FALSE(write_all(ends_[1], "abc", "pipe"));
}

TEST_F(Descriptors, OtherFailuresAreNamed) {
  const int full = ::open("/dev/full", O_WRONLY);
  test::expect_error([&] { write_all(full, "abc", "the output"); }, {"the output", "No space left"});
  ::close(full);
  const int folder = ::open("/", O_RDONLY);
  test::expect_error([&] { read_available(folder, bytes_.data(), bytes_.size(), stop_, "the input"); },
                     {"the input", "directory"});
  ::close(folder);
}

}  // namespace
}  // namespace axlstm
