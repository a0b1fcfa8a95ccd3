// Short spinning for as long as other processes take this one's cores.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace axlstm::train {

/// OpenMP's threads spin at a barrier before they sleep. That is fastest alone, operators being short; where another
/// process has the core of the thread that is waited for, the others burn the time in which it could run. libgomp spins
/// a hundred times only while a process has more threads of its than cores: so while the threads of this process wait
/// for cores, a team is kept that does nothing. Numbers do not depend on it. Nothing is done where the environment says
/// how to wait (OMP_WAIT_POLICY), and on systems that do not tell how long threads wait.
class SpinGuard {
 public:
  using Clock = std::chrono::steady_clock;

  SpinGuard();
  /// For tests: with a measure (seconds that all threads have waited, for each core) and a clock of their own.
  SpinGuard(std::function<double()> seconds_waited, std::function<Clock::time_point()> now);
  ~SpinGuard();
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

  /// To be called every so often, such as after each step; costs nothing in most calls.
  void look();
  bool spins_shortly() const { return idle_team_.joinable(); }

 private:
  void begin();
  void end();

  std::function<double()> seconds_waited_;
  std::function<Clock::time_point()> now_;
  Clock::time_point looked_;
  double waited_ = 0;
  int quiet_looks_ = 0;
  std::jthread idle_team_;
};

/// Seconds that all threads of this process have been ready to run without a core, since each began.
double seconds_waited_for_cores();

}  // namespace axlstm::train
