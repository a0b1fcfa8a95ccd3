// What a sweep is doing, on the terminal and in the log.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "axlstm/core/live_table.h"
#include "axlstm/sweep/scheduler.h"

namespace axlstm::sweep {

/// Logs what ends; on a terminal also shows a line for each run under way, with the last line of its program's log.
class SweepProgress {
 public:
  SweepProgress(const Plan& plan, const std::vector<Run>& runs);
  ~SweepProgress();
  SweepProgress(const SweepProgress&) = delete;
  SweepProgress& operator=(const SweepProgress&) = delete;

  void operator()(const std::vector<RunStatus>& statuses);

 private:
  void log_change(std::size_t i, const RunStatus& status);
  std::vector<std::string> lines() const;
  std::string name_of(std::size_t i) const;

  const Plan& plan_;
  const std::vector<Run>& runs_;
  std::mutex mutex_;  // of everything below
  std::condition_variable changed_;
  bool over_ = false;
  std::vector<RunStatus> statuses_;
  LiveTable table_;
  std::thread ticker_;  // draws again while programs write their logs
};

}  // namespace axlstm::sweep
