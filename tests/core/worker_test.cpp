#include "axlstm/core/worker.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace axlstm {
namespace {

TEST(Worker, DoesOneThingAfterTheOtherInOneThread) {
  Worker worker;
  std::vector<int> order;  // without a lock: of one thread
  std::vector<std::future<std::thread::id>> threads;
  for (int n = 0; n < 100; ++n) {
    threads.push_back(worker.give([&order, n] {
      order.push_back(n);
      return std::this_thread::get_id();
    }));
  }
  const auto first = threads.front().get();
  EXPECT_NE(first, std::this_thread::get_id());
  for (std::size_t n = 1; n < threads.size(); ++n) EXPECT_EQ(threads[n].get(), first);
  for (int n = 0; n < 100; ++n) EXPECT_EQ(order.at(static_cast<std::size_t>(n)), n);
}

TEST(Worker, GoesOnAfterWorkThatThrows) {
  Worker worker;
  auto failed = worker.give([]() -> int { throw std::runtime_error("no"); });
  auto done = worker.give([] { return 7; });
  EXPECT_THROW(failed.get(), std::runtime_error);
  EXPECT_EQ(done.get(), 7);
}

TEST(Worker, EndsWithAllDoneThatItWasGiven) {
  int count = 0;
  {
    Worker worker;
    for (int n = 0; n < 20; ++n) worker.give([&count] { ++count; });
  }
  EXPECT_EQ(count, 20);
}

}  // namespace
}  // namespace axlstm
