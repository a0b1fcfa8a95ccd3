#include "heartbeat.h"

#include <unistd.h>

#include <algorithm>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "meeting.h"

namespace axlstm::distributed {
namespace {

using std::chrono::milliseconds;

constexpr int kFailedExit = 1, kStoppedExit = 75;
constexpr const char* kLeft = "left";

std::string pulse_key(std::int64_t rank) { return str("pulse/", rank); }

}  // namespace

Heartbeat::Heartbeat(c10::intrusive_ptr<c10d::Store> store, const launch::Rank& rank, std::vector<std::string> names,
                     double patience_s)
    : store_(std::move(store)),
      rank_(rank),
      names_(std::move(names)),
      patience_(static_cast<std::int64_t>(1000 * patience_s)),
      seen_(names_.size(), Seen{"", Clock::now()}),
      answered_(Clock::now()) {
  store_->set(pulse_key(rank_.rank), "0");
  pulse_thread_ = std::thread([this] { pulse(); });
  watch_thread_ = std::thread([this] { watch(); });
}

Heartbeat::~Heartbeat() { stop(); }

void Heartbeat::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  stopped_.notify_all();
  pulse_thread_.join();
  watch_thread_.join();
}

void Heartbeat::wait_for_verdict() { sleep(patience_ + 2 * kTimeToRead); }

/// False if it was cut short by stop().
bool Heartbeat::sleep(milliseconds time) {
  std::unique_lock lock(mutex_);
  return !stopped_.wait_for(lock, time, [&] { return stopping_; });
}

void Heartbeat::pulse() {
  const auto interval = std::clamp(patience_ / 5, milliseconds(100), milliseconds(1000));
  try {
    for (std::int64_t beat = 1; sleep(interval); ++beat) {
      store_->set(pulse_key(rank_.rank), str(beat));
      if (store_->check({kFailed})) end_process(store_->get_to_str(kFailed));
      if (store_->check({kStoppedEarly})) stop_process(store_->get_to_str(kStoppedEarly));
      if (rank_.rank > 0) {
        look_at(0);
      } else {
        for (std::int64_t other = 1; other < rank_.world_size; ++other) look_at(other);
      }
      answered_ = Clock::now();
    }
    store_->set(pulse_key(rank_.rank), kLeft);
  } catch (const std::exception& failure) {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    const std::string keeper = rank_.store_is_kept ? "torchrun" : names_.front();
    end_process(str(keeper, " is gone: the connection to it broke (", message_of(failure), ")"));
  }
}

void Heartbeat::look_at(std::int64_t rank) {
  Seen& seen = seen_[static_cast<std::size_t>(rank)];
  if (seen.pulse == kLeft) return;
  const std::string pulse = store_->get_to_str(pulse_key(rank));
  if (pulse != seen.pulse) {
    seen = {pulse, Clock::now()};
  } else if (Clock::now() - seen.since > patience_) {
    const std::string reason = str(names_[static_cast<std::size_t>(rank)], " has not been heard of for ",
                                   std::chrono::duration<double>(patience_).count(), " s: killed, or stopped");
    store_->set(kFailed, reason);
    end_process(reason);
  }
}

/// The pulse's own thread may be stuck in a connection whose other end vanished without a word.
void Heartbeat::watch() {
  while (sleep(milliseconds(500))) {
    if (Clock::now() - answered_.load() > patience_ + milliseconds(1000))
      end_process(str(names_.front(), " or its machine does not answer any more"));
  }
}

void Heartbeat::end_process(const std::string& reason) {
  log::error(reason + "; this rank ends too. The same command resumes from the newest checkpoint");
  if (rank_.rank == 0 && rank_.world_size > 1) std::this_thread::sleep_for(kTimeToRead);
  ::_exit(kFailedExit);  // the main thread is stuck in a sum over all ranks
}

void Heartbeat::stop_process(const std::string& who) {
  log::warn(who + " was told to stop before training began; the same command starts it");
  if (rank_.rank == 0) std::this_thread::sleep_for(kTimeToRead);
  ::_exit(kStoppedExit);
}

}  // namespace axlstm::distributed
