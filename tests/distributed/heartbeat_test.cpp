#include "../src/distributed/heartbeat.h"

#include <gtest/gtest.h>

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "../src/distributed/meeting.h"
#include "distributed/ranks.h"

namespace axlstm::distributed {
namespace {

using std::chrono::milliseconds;

constexpr double kPatience_s = 0.4;

/// A store of this process in which `ranks` have a pulse, which does not change.
c10::intrusive_ptr<c10d::Store> store_with_pulses(std::int64_t ranks) {
  c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::HashStore>();
  for (std::int64_t rank = 0; rank < ranks; ++rank) store->set("pulse/" + std::to_string(rank), "7");
  return store;
}

/// Rank 1 of 2, which watches rank 0. (Rank 0 lives on for a while after a verdict: the store is its.)
std::unique_ptr<Heartbeat> rank_1(const c10::intrusive_ptr<c10d::Store>& store) {
  return std::make_unique<Heartbeat>(store, test::new_rank(1, 2, 1), std::vector<std::string>{"rank A", "rank B"},
                                     kPatience_s);
}

class HeartbeatTest : public testing::Test {
 protected:
  HeartbeatTest() { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
};

TEST_F(HeartbeatTest, ARankThatIsNotHeardOfIsNamedAfterTheConfiguredTime) {
  EXPECT_EXIT(
      {
        const auto heartbeat = rank_1(store_with_pulses(1));
        heartbeat->wait_for_verdict();
      },
      testing::ExitedWithCode(1), "rank A has not been heard of for 0.4 s: killed, or stopped; this rank ends too");
}

TEST_F(HeartbeatTest, WhatAnotherRankSaysOfItsFailureIsRepeated) {
  EXPECT_EXIT(
      {
        const auto store = store_with_pulses(1);
        const auto heartbeat = rank_1(store);
        store->set(Heartbeat::kFailed, "rank C failed: no space");
        heartbeat->wait_for_verdict();
      },
      testing::ExitedWithCode(1), "rank C failed: no space; this rank ends too");
}

TEST_F(HeartbeatTest, ARankThatWasToldToStopBeforeTrainingBeganStopsTheOthers) {
  EXPECT_EXIT(
      {
        const auto store = store_with_pulses(1);
        const auto heartbeat = rank_1(store);
        store->set(kStoppedEarly, "rank C");
        heartbeat->wait_for_verdict();
      },
      testing::ExitedWithCode(75), "rank C was told to stop before training began");
}

TEST_F(HeartbeatTest, RanksThatAreHeardOfOrHaveLeftAreNotGone) {
  const auto store = store_with_pulses(2);
  const auto names = std::vector<std::string>{"rank A", "rank B"};
  Heartbeat first(store, test::new_rank(0, 2, 1), names, kPatience_s);
  Heartbeat second(store, test::new_rank(1, 2, 1), names, kPatience_s);
  std::this_thread::sleep_for(milliseconds(800));  // twice the time
  second.stop();
  EXPECT_EQ(store->get_to_str("pulse/1"), "left");
  std::this_thread::sleep_for(milliseconds(800));
  first.stop();
  EXPECT_EQ(store->get_to_str("pulse/0"), "left");
}

}  // namespace
}  // namespace axlstm::distributed
