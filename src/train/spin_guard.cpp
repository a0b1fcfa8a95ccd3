#include "spin_guard.h"

#include <omp.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stop_token>
#include <utility>

namespace axlstm::train {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(500);
// Shares of the cores' time. A process that computes beside this one on two cores makes each thread wait a third of it.
constexpr double kBusy = 0.1, kQuiet = 0.04;
constexpr int kQuietLooks = 6;

/// Keeps more threads than there are cores until it is told to end, which frees them.
void keep_idle_team(const std::stop_token& stop) {
#pragma omp parallel num_threads(omp_get_num_procs() + 1)
  { [[maybe_unused]] volatile int thread = omp_get_thread_num(); }
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait(lock, stop, [] { return false; });
}

}  // namespace

double seconds_waited_for_cores() {
  double nanoseconds = 0;
  std::error_code failure;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failure)) {
    double ran = 0, waited = 0;
    if (std::ifstream(task.path() / "schedstat") >> ran >> waited) nanoseconds += waited;
  }
  return nanoseconds / 1e9;
}

SpinGuard::SpinGuard()
    : SpinGuard([is_on = std::getenv("OMP_WAIT_POLICY") ==
                         nullptr] { return is_on ? seconds_waited_for_cores() / omp_get_num_procs() : 0.0; },
                Clock::now) {}

SpinGuard::SpinGuard(std::function<double()> seconds_waited, std::function<Clock::time_point()> now)
    : seconds_waited_(std::move(seconds_waited)), now_(std::move(now)), looked_(now_()), waited_(seconds_waited_()) {}

SpinGuard::~SpinGuard() { end(); }

void SpinGuard::look() {
  const auto now = now_();
  if (now - looked_ < kInterval) return;
  const double waited = seconds_waited_();
  const double share = (waited - waited_) / std::chrono::duration<double>(now - looked_).count();
  looked_ = now;
  waited_ = waited;
  quiet_looks_ = share < kQuiet ? quiet_looks_ + 1 : 0;
  if (share > kBusy) begin();
  if (quiet_looks_ >= kQuietLooks) end();
}

void SpinGuard::begin() {
  if (!spins_shortly()) idle_team_ = std::jthread(keep_idle_team);
}

void SpinGuard::end() {
  if (!spins_shortly()) return;
  idle_team_.request_stop();
  idle_team_.join();
}

}  // namespace axlstm::train
