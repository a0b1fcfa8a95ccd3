#include "axlstm/distributed/process_group.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <torch/torch.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "distributed/ranks.h"
#include "support/expect_error.h"

namespace axlstm::distributed {
namespace {

TEST(ProcessGroupTest, GathersTextsAndGivesRank0sValues) {
  std::vector<std::vector<std::string>> texts(3);
  std::vector<torch::Tensor> values(3);
  test::run_ranks(3, [&](ProcessGroup& group) {
    const auto rank = static_cast<std::size_t>(group.rank());
    EXPECT_EQ(group.sharers_of_cores(), 3);
    group.gather("first");
    texts[rank] = group.gather("text " + std::to_string(rank) + std::string(100000, '.'));
    values[rank] = torch::full({2, 3}, static_cast<double>(rank + 1));
    const auto counts = torch::full({2}, group.rank() + 5, torch::kInt64);
    group.broadcast({values[rank], counts});
    EXPECT_TRUE(counts.equal(torch::full({2}, 5, torch::kInt64)));
  });
  for (std::size_t rank = 0; rank < 3; ++rank) {
    ASSERT_EQ(texts[rank].size(), 3U);
    for (std::size_t other = 0; other < 3; ++other)
      EXPECT_EQ(texts[rank][other], "text " + std::to_string(other) + std::string(100000, '.'));
    EXPECT_TRUE(values[rank].equal(torch::ones({2, 3})));
  }
}

TEST(ProcessGroupTest, ARankThatDoesNotComeIsNamed) {
  DistributedOptions options;
  options.timeout_s = 1;
  launch::Rank rank = test::new_rank(0, 2, test::free_port());
  test::expect_error([&] { ProcessGroup(rank, torch::kCPU, options); },
                     {"rank 1 of 2 did not come within 1 s", "a test", "to train alone", "env -u WORLD_SIZE"});
  rank.rank = 1;
  test::expect_error([&] { ProcessGroup(rank, torch::kCPU, options); },
                     {"rank 0 did not come within 1 s", "127.0.0.1:", "a test", "to train alone"});
}

TEST(ProcessGroupTest, AHostThatNobodyKnowsAndATakenPortAreSaidAtOnce) {
  launch::Rank rank = test::new_rank(1, 2, test::free_port());
  rank.address = "no-such-host.invalid";
  test::expect_error([&] { ProcessGroup(rank, torch::kCPU, {}); }, {"no-such-host.invalid", "a test", "MASTER_ADDR"});
  const int taken = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<std::uint16_t>(rank.port));
  ASSERT_EQ(::bind(taken, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  rank = test::new_rank(0, 2, static_cast<int>(rank.port));
  test::expect_error([&] { ProcessGroup(rank, torch::kCPU, {}); },
                     {"cannot listen at port " + std::to_string(rank.port), "Address already in use", "MASTER_PORT"});
  ::close(taken);
}

TEST(ProcessGroupTest, AStopIsHeardWhileRanksWaitForEachOther) {
  const int port = test::free_port();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  std::atomic<int> stopped{0};
  for (const std::int64_t number : {0, 1}) {  // rank 2 never comes, and only rank 1 is told
    threads.emplace_back([&, number] {
      try {
        ProcessGroup(test::new_rank(number, 3, port), torch::kCPU, {}, number == 1 ? &stop : nullptr);
      } catch (const StoppedEarly&) {
        ++stopped;
      }
    });
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(port);
  const auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  while (!store->check({"axlstm/hello/1"})) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stopped, 2);
}

TEST(ProcessGroupTest, AStoreThatOutlivesItsRanksMisleadsNobody) {
  c10d::TCPStoreOptions options;
  options.isServer = true;
  options.waitWorkers = false;
  const int port = options.port = static_cast<std::uint16_t>(test::free_port());
  const auto kept = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  c10d::Store& store = *kept;  // which takes texts
  // What attempts that were killed may have left: a question, an answer to it, everybody known.
  store.set("axlstm/challenge", "old");
  store.set("axlstm/hello/1", "old/someone");
  store.set("axlstm/known/old", "\nold/someone\n");
  store.set("axlstm/seen/old/1", "old/someone");
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::vector<std::vector<std::string>> texts(3);
    std::vector<std::thread> threads;
    for (const std::int64_t number : {2, 1, 0}) {
      threads.emplace_back([&, number] {
        launch::Rank rank = test::new_rank(number, 3, port);
        rank.store_is_kept = true;
        ProcessGroup group(rank, torch::kCPU, {});
        texts[static_cast<std::size_t>(number)] = group.gather("attempt " + std::to_string(attempt));
        group.leave();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& seen : texts) EXPECT_EQ(seen, std::vector<std::string>(3, "attempt " + std::to_string(attempt)));
  }
}

}  // namespace
}  // namespace axlstm::distributed
