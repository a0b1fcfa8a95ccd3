// How ranks find each other: from an address to a store that all of them use and nobody used before.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "axlstm/distributed/process_group.h"
#include "axlstm/launch/rank.h"

namespace axlstm::distributed {

/// Waiting for other ranks: heard by a stop signal, told about after some seconds, and not for ever.
class Patience {
 public:
  /// `stop`: null if nothing may cut waiting short.
  Patience(const launch::Rank& rank, std::chrono::milliseconds limit, const std::atomic<bool>* stop);

  /// Returns once `done` says so. `waiting_for`: as in "waiting for …"; asked when that is to be said. Throws
  /// StoppedEarly after `stop`, Error when the time is over.
  void until(const std::function<bool()>& done, const std::function<std::string()>& waiting_for) const;

 private:
  std::string place_, remedy_;
  std::chrono::milliseconds limit_;
  const std::atomic<bool>* stop_;
};

/// A connection to the store at the rank's address. `serve`: rank 0 keeps it, unless its launcher does. Throws Error at
/// once for an address that nobody knows and a port that is taken.
c10::intrusive_ptr<c10d::Store> connect(const launch::Rank& rank, bool serve, std::chrono::milliseconds timeout,
                                        const Patience& patience);

/// Returns a prefix that all ranks have agreed on now: whatever earlier attempts left in a store that outlives them is
/// under others. A rank that is told to stop tells those that it has met.
std::string agree_on_prefix(c10d::Store& store, const launch::Rank& rank, const Patience& patience);

/// Key, under the prefix, with the name of a rank that was told to stop before training began.
constexpr const char* kStoppedEarly = "stopped";

/// Rank 0's process often holds the store: it must not vanish before the others have read why.
constexpr std::chrono::milliseconds kTimeToRead{2500};

}  // namespace axlstm::distributed
