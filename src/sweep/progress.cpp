#include "axlstm/sweep/progress.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iomanip>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm::sweep {
namespace {

/// The last line of a file that grows; empty if there is none.
std::string tail_of(const std::filesystem::path& path) {
  constexpr std::streamoff kEnough = 1000;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  file.seekg(-std::min<std::streamoff>(kEnough, file.tellg()), std::ios::end);
  std::string last;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

}  // namespace

SweepProgress::SweepProgress(const Plan& plan, const std::vector<Run>& runs)
    : plan_(plan), runs_(runs), statuses_(runs.size()) {
  if (!log::is_terminal()) return;
  ticker_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::seconds(2), [this] { return over_; })) table_.draw(lines());
  });
}

SweepProgress::~SweepProgress() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  if (ticker_.joinable()) ticker_.join();
}

void SweepProgress::operator()(const std::vector<RunStatus>& statuses) {
  const std::lock_guard lock(mutex_);
  table_.clear();
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const bool changed = statuses[i].state != statuses_[i].state || statuses[i].stage != statuses_[i].stage;
    if (changed) log_change(i, statuses[i]);
  }
  statuses_ = statuses;
  table_.draw(lines());
}

std::string SweepProgress::name_of(std::size_t i) const {
  return str("[", runs_[i].index, "] ", plan_.cells[runs_[i].cell].name, " seed ", runs_[i].seed);
}

void SweepProgress::log_change(std::size_t i, const RunStatus& status) {
  switch (status.state) {
    case RunState::kRunning:
      return log::info(name_of(i) + ": " + enum_name(status.stage));
    case RunState::kDone:
      return log::info(name_of(i) + (status.found ? ": done already" : ": done"));
    case RunState::kFailed:
      return log::error(name_of(i) + ": " + status.error);
    case RunState::kElsewhere:
      return log::info(name_of(i) + ": another process works on it");
    case RunState::kWaiting:
      return log::info(name_of(i) + ": stopped");
  }
}

std::vector<std::string> SweepProgress::lines() const {
  std::vector<std::string> lines;
  std::size_t done = 0, failed = 0;
  for (std::size_t i = 0; i < statuses_.size(); ++i) {
    const RunStatus& status = statuses_[i];
    done += status.state == RunState::kDone;
    failed += status.state == RunState::kFailed;
    if (status.state != RunState::kRunning) continue;
    const char* stage = enum_name(status.stage);
    lines.push_back(str(std::left, std::setw(40), name_of(i), " ", std::setw(9), stage, "  ",
                        tail_of(runs_[i].folder / str(stage, ".log"))));
  }
  lines.push_back(str(done, " of ", statuses_.size(), " runs done", failed > 0 ? str(", ", failed, " failed") : ""));
  return lines;
}

}  // namespace axlstm::sweep
