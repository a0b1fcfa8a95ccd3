#include "axlstm/sweep/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/parallel.h"
#include "axlstm/sweep/child.h"

namespace axlstm::sweep {
namespace {

namespace fs = std::filesystem;

/// Between two stages or in one: a stop was asked for.
class Stopped : public Error {
 public:
  using Error::Error;
};

/// The last line of a log, which says what went wrong.
std::string last_line(const fs::path& log) {
  std::string text = read_file(log);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

class Scheduler {
 public:
  Scheduler(const Plan& plan, const std::vector<Run>& runs, const SchedulerOptions& options)
      : plan_(plan), runs_(runs), options_(options), statuses_(runs.size()) {}

  std::vector<RunStatus> run() {
    pass(/*patience=*/std::chrono::seconds(0));
    // Programs of a sweep that was killed end within seconds: their runs are free then.
    pass(/*patience=*/std::chrono::seconds(10));
    return statuses_;
  }

 private:
  bool stopped() const { return options_.stop != nullptr && *options_.stop; }

  /// Works on every run that waits or was held by another process.
  void pass(std::chrono::seconds patience) {
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      if (statuses_[i].state == RunState::kWaiting || statuses_[i].state == RunState::kElsewhere) open.push_back(i);
    }
    for_each_index(
        open.size(), static_cast<std::size_t>(std::max(1, options_.jobs)),
        [&](std::size_t worker) { return [&, worker](std::size_t i) { work(open[i], worker, patience); }; },
        options_.stop);
  }

  void work(std::size_t i, std::size_t worker, std::chrono::seconds patience) {
    try {
      fs::create_directories(runs_[i].folder);
      const std::unique_ptr<FileLock> lock = acquire(runs_[i], patience);
      if (!lock) return update(i, [](RunStatus& status) { status.state = RunState::kElsewhere; });
      bool worked = false;
      for (const Stage stage : options_.stages) {
        if (!applies(plan_, runs_[i], stage) || !is_open(runs_[i], stage)) continue;
        update(i, [&](RunStatus& status) {
          status.state = RunState::kRunning;
          status.stage = stage;
        });
        run_stage(runs_[i], stage, worker);
        worked = true;
      }
      update(i, [&](RunStatus& status) {
        status.state = RunState::kDone;
        status.found = !worked;
      });
    } catch (const Stopped&) {
      update(i, [](RunStatus& status) { status.state = RunState::kWaiting; });
    } catch (const std::exception& failure) {
      update(i, [&](RunStatus& status) {
        status.state = RunState::kFailed;
        status.error = message_of(failure);
      });
    }
  }

  /// The run's lock once neither another sweep nor a program that it left behind works on it; null if that lasts.
  std::unique_ptr<FileLock> acquire(const Run& run, std::chrono::seconds patience) const {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (true) {
      try {
        auto lock = std::make_unique<FileLock>(run.folder / ".sweep.lock");
        for (const fs::path& path : locks_of(plan_, run)) const FileLock of_program(path);
        return lock;
      } catch (const LockedError&) {
        if (stopped() || std::chrono::steady_clock::now() >= deadline) return nullptr;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }

  /// False if there is nothing left to do.
  bool is_open(const Run& run, Stage stage) const {
    const bool trained = plan_.cells[run.cell].model == CellModel::kTrained;
    AXLSTM_CHECK(stage == Stage::kPretrain || !trained || is_pretrained(run), run.folder.string(),
                 ": not pre-trained; run the stage pretrain, or copy the folder from where that was done");
    return !is_done(plan_, run, stage, options_.context);
  }

  void run_stage(const Run& run, Stage stage, std::size_t worker) const {
    write_configuration(plan_, run);
    const auto start = std::chrono::steady_clock::now();
    ChildOptions child;
    child.log = run.folder / str(enum_name(stage), ".log");
    child.stop = options_.stop;
    if (!options_.gpus.empty()) {
      child.environment["CUDA_VISIBLE_DEVICES"] = options_.gpus[worker % options_.gpus.size()];
    }
    // Processes that each take all cores stand in each other's way: their waiting threads spin.
    if (options_.threads > 0 && std::getenv("OMP_NUM_THREADS") == nullptr) {
      child.environment["OMP_NUM_THREADS"] = std::to_string(options_.threads);
    }
    for (const auto& command : commands_of(plan_, run, stage, options_.context)) {
      if (stopped()) throw Stopped("stopped");
      const int code = run_child(command, child);
      if (code != 0 && stopped()) throw Stopped("stopped");
      AXLSTM_CHECK(code == 0, child.log.string(), ": ", enum_name(stage), " exited with ", code, ": ",
                   last_line(child.log));
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    mark_done(plan_, run, stage, options_.context, seconds.count());
  }

  template <typename Change>
  void update(std::size_t i, const Change& change) {
    const std::lock_guard lock(mutex_);
    change(statuses_[i]);
    if (options_.progress) options_.progress(statuses_);
  }

  const Plan& plan_;
  const std::vector<Run>& runs_;
  const SchedulerOptions& options_;
  std::mutex mutex_;  // of statuses_ and the progress callback
  std::vector<RunStatus> statuses_;
};

}  // namespace

std::vector<RunStatus> run_sweep(const Plan& plan, const std::vector<Run>& runs, const SchedulerOptions& options) {
  return Scheduler(plan, runs, options).run();
}

}  // namespace axlstm::sweep
