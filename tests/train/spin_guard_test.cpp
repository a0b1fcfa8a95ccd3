#include "../src/train/spin_guard.h"

#include <gtest/gtest.h>

namespace axlstm::train {
namespace {

TEST(SpinGuardTest, SpinsShortlyWhileThreadsWaitForCores) {
  double waited = 3;
  SpinGuard::Clock::time_point now{};
  SpinGuard guard([&] { return waited; }, [&] { return now; });
  const auto pass = [&](double seconds, double share) {
    now += std::chrono::duration_cast<SpinGuard::Clock::duration>(std::chrono::duration<double>(seconds));
    waited += share * seconds;
    guard.look();
    return guard.spins_shortly();
  };
  EXPECT_FALSE(pass(1, 0.01));
  EXPECT_FALSE(pass(0.1, 1)) << "too short to tell";
  EXPECT_TRUE(pass(1, 0.5));
  for (int look = 0; look < 20; ++look) EXPECT_TRUE(pass(1, 0.07)) << "neither quiet nor busy";
  for (int look = 0; look < 5; ++look) EXPECT_TRUE(pass(1, 0)) << "quiet for a moment";
  EXPECT_FALSE(pass(1, 0));
  EXPECT_TRUE(pass(1, 0.5)) << "again";
}

TEST(SpinGuardTest, WaitingForCoresOnlyGrows) {
  const double before = seconds_waited_for_cores();
  EXPECT_GE(before, 0);
  EXPECT_GE(seconds_waited_for_cores(), before);
}

}  // namespace
}  // namespace axlstm::train
