// Ranks as threads of one process, on the CPU.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "axlstm/distributed/process_group.h"
#include "axlstm/launch/rank.h"
#include "support/ports.h"

namespace axlstm::test {

/// Rank `number` of `count` ranks of this machine that meet at `port`.
inline launch::Rank new_rank(std::int64_t number, std::int64_t count, int port) {
  launch::Rank rank;
  rank.rank = rank.local_rank = number;
  rank.world_size = count;
  rank.port = port;
  rank.launcher = "a test";
  rank.variable = "WORLD_SIZE";
  return rank;
}

/// Runs `work` as each of `count` ranks at once.
inline void run_ranks(std::int64_t count, const std::function<void(distributed::ProcessGroup&)>& work) {
  const int port = test::free_port();
  std::vector<std::thread> threads;
  for (std::int64_t number = 0; number < count; ++number) {
    threads.emplace_back([&, number] {
      distributed::ProcessGroup group(new_rank(number, count, port), torch::kCPU, {});
      work(group);
      group.leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace axlstm::test
