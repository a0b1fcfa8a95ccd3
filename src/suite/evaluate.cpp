#include "axlstm/suite/evaluate.h"

#include <malloc.h>

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>

#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/core/live_table.h"
#include "axlstm/core/log.h"
#include "axlstm/core/zero_padded.h"
#include "axlstm/hear/task.h"
#include "axlstm/report/statistics.h"

namespace axlstm::suite {
namespace {

namespace fs = std::filesystem;
using downstream::EvaluationState;
using downstream::EvaluationStatus;

/// One evaluation for each task and seed; the seeds of a task come together.
std::vector<downstream::Evaluation> plan(const fs::path& task, const EvaluateArguments& arguments) {
  const fs::path folder = fs::canonical(task);
  const std::string model = folder.parent_path().filename().string();
  std::vector<downstream::Evaluation> evaluations;
  for (int i = 0; i < arguments.seeds; ++i) {
    const std::uint64_t seed = arguments.first_seed + static_cast<std::uint64_t>(i);
    const std::string name = str(model, "_", zero_padded(seed, 2));
    evaluations.push_back(
        {task, model, seed, arguments.output.empty() ? task : arguments.output / name / folder.filename()});
  }
  return evaluations;
}

/// Logs what ends, and on a terminal shows a table of the tasks that are not finished.
class ProgressLog {
 public:
  explicit ProgressLog(const std::vector<downstream::Evaluation>& evaluations)
      : evaluations_(evaluations), reported_(evaluations.size(), false) {}

  void operator()(const std::vector<EvaluationStatus>& statuses) {
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      if (ended(statuses[i]) && !reported_[i]) tell(i, statuses[i]);
    }
    table_.draw(lines(statuses));
  }

  void finish() { table_.clear(); }

 private:
  static bool ended(const EvaluationStatus& status) {
    return status.state == EvaluationState::kDone || status.state == EvaluationState::kFailed;
  }

  std::string task_name(std::size_t i) const {
    return evaluations_[i].model + "/" + fs::canonical(evaluations_[i].embeddings_dir).filename().string();
  }

  void tell(std::size_t i, const EvaluationStatus& status) {
    reported_[i] = true;
    table_.clear();
    const std::string name = str(task_name(i), " seed ", evaluations_[i].seed);
    if (status.state == EvaluationState::kFailed) {
      log::error(name + ": " + status.error);
    } else {
      log::info(str(name, ": ", status.test_score, status.resumed ? " (found)" : ""));
    }
  }

  /// One for each task that is under way, and the total.
  std::vector<std::string> lines(const std::vector<EvaluationStatus>& statuses) const {
    std::vector<std::string> lines;
    std::size_t all_ended = 0;
    for (std::size_t first = 0, last = 0; first < statuses.size(); first = last) {  // seeds of a task come together
      std::vector<double> scores;
      std::ostringstream running;
      for (; last < statuses.size() && evaluations_[last].embeddings_dir == evaluations_[first].embeddings_dir;
           ++last) {
        all_ended += ended(statuses[last]);
        if (statuses[last].state == EvaluationState::kDone) scores.push_back(statuses[last].test_score);
        if (statuses[last].state != EvaluationState::kRunning) continue;
        running << "  seed " << evaluations_[last].seed << ": " << statuses[last].models_done << "/"
                << (statuses[last].models_total > 0 ? str(statuses[last].models_total) : "?") << " models";
      }
      if (running.tellp() == std::streampos(0)) continue;
      const std::string mean =
          scores.empty() ? "" : str("  mean ", std::setprecision(4), report::mean_interval(scores).mean);
      lines.push_back(str(std::left, std::setw(36), task_name(first), "  ", scores.size(), " of ", last - first,
                          " seeds", mean, running.str()));
    }
    lines.push_back(str(all_ended, " of ", statuses.size(), " evaluations done"));
    return lines;
  }

  const std::vector<downstream::Evaluation>& evaluations_;
  std::vector<bool> reported_;
  LiveTable table_;
};

/// Training allocates and frees the same few megabytes in every batch. glibc would give them back to the system each
/// time and have them cleared again, a quarter of the time of a small task.
void keep_freed_memory() {
#ifdef __GLIBC__
  constexpr int kLarge = 1 << 30, kStep = 64 << 20;
  mallopt(M_MMAP_THRESHOLD, kLarge);
  mallopt(M_TRIM_THRESHOLD, kLarge);
  mallopt(M_TOP_PAD, kStep);
#endif
}

/// A line for each task of each model: the mean over its seeds.
void print_table(const std::vector<downstream::Evaluation>& evaluations,
                 const std::vector<EvaluationStatus>& statuses) {
  std::map<fs::path, std::vector<double>> scores;
  for (std::size_t i = 0; i < evaluations.size(); ++i) {
    if (statuses[i].state == EvaluationState::kDone) {
      scores[evaluations[i].embeddings_dir].push_back(statuses[i].test_score);
    }
  }
  for (const auto& [task, values] : scores) {
    const report::MeanInterval mean = report::mean_interval(values);
    std::cout << std::left << std::setw(40) << task.string() << "  " << std::fixed << std::setprecision(4) << mean.mean;
    if (mean.half_width) std::cout << " ± " << *mean.half_width << "  (" << mean.n << " seeds, 95 % interval)";
    std::cout << "\n";
  }
  std::cout << std::flush;
}

}  // namespace

ExitCode evaluate(const EvaluateArguments& arguments) {
  if (arguments.seeds > 1 && arguments.output.empty()) {
    throw UsageError("--seeds needs --output: the folder of the embeddings has room for the scores of one seed");
  }
  bool all_found = true;
  std::vector<downstream::Evaluation> evaluations;
  for (const fs::path& input : arguments.inputs) {
    try {
      for (const fs::path& task : hear::find_tasks(input)) {
        const auto planned = plan(task, arguments);
        evaluations.insert(evaluations.end(), planned.begin(), planned.end());
      }
    } catch (const Error& failure) {
      log::error(failure.what());
      all_found = false;
    }
  }

  downstream::EvaluationsOptions options = arguments.evaluations;
  constexpr int kJobsOnGpu = 4;  // of one GPU
  options.jobs = arguments.jobs > 0                 ? arguments.jobs
                 : options.devices.front().is_cpu() ? std::max(1, allowed_cores() / options.threads)
                                                    : kJobsOnGpu * static_cast<int>(options.devices.size());
  ProgressLog progress(evaluations);
  options.progress = [&](const std::vector<EvaluationStatus>& statuses) { progress(statuses); };
  keep_freed_memory();
  const auto statuses = downstream::run_evaluations(evaluations, options);
  progress.finish();
  print_table(evaluations, statuses);

  const auto count = [&](EvaluationState state) {
    return std::count_if(statuses.begin(), statuses.end(), [&](const auto& status) { return status.state == state; });
  };
  if (count(EvaluationState::kWaiting) > 0) {
    log::warn("interrupted; what is finished is saved, the same command resumes");
    return kInterrupted;
  }
  if (all_found && count(EvaluationState::kFailed) == 0) return kOk;
  return count(EvaluationState::kDone) > 0 ? kSomeFailed : kFailed;
}

}  // namespace axlstm::suite
