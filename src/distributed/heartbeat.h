// Notices that another rank of the run is gone, while this one's main thread waits for it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "axlstm/launch/rank.h"

namespace axlstm::distributed {

/// Every rank leaves a pulse in the store each second. Rank 0 watches all of them, the others watch rank 0 and the note
/// of failure that any rank may leave; which of them a failure is learned from depends on who is gone.
class Heartbeat {
 public:
  /// `store`: a connection of its own, for one that waits blocks whoever shares it. `names`: what each rank is called
  /// in messages.
  Heartbeat(c10::intrusive_ptr<c10d::Store> store, const launch::Rank& rank, std::vector<std::string> names,
            double patience_s);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  /// Ends watching and being watched.
  void stop();

  /// For who found that the others do not answer: returns only if none of them turns out to be gone.
  void wait_for_verdict();

  /// Key under which a rank says why it failed.
  static constexpr const char* kFailed = "failed";

 private:
  void pulse();
  void watch();
  void look_at(std::int64_t rank);
  bool sleep(std::chrono::milliseconds time);
  [[noreturn]] void end_process(const std::string& reason);
  [[noreturn]] void stop_process(const std::string& who);

  using Clock = std::chrono::steady_clock;
  struct Seen {
    std::string pulse;
    Clock::time_point since;
  };

  c10::intrusive_ptr<c10d::Store> store_;
  launch::Rank rank_;
  std::vector<std::string> names_;
  std::chrono::milliseconds patience_;
  std::vector<Seen> seen_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::atomic<Clock::time_point> answered_;  ///< when the store last did
  std::thread pulse_thread_, watch_thread_;
};

}  // namespace axlstm::distributed
