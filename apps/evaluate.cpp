#include "evaluate.h"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/hear/statistics.h"
#include "axlstm/hear/task.h"

namespace axlstm::cli {
namespace {

namespace fs = std::filesystem;
using hear::EvaluationState;
using hear::EvaluationStatus;

/// One evaluation for each task and seed; the seeds of a task come together.
std::vector<hear::Evaluation> plan(const fs::path& task, const EvaluateArguments& arguments) {
  const fs::path folder = fs::canonical(task);
  const std::string model = folder.parent_path().filename().string();
  std::vector<hear::Evaluation> evaluations;
  for (int i = 0; i < arguments.seeds; ++i) {
    const std::uint64_t seed = arguments.first_seed + static_cast<std::uint64_t>(i);
    const std::string name = str(model, "_", std::setw(2), std::setfill('0'), seed);
    evaluations.push_back(
        {task, model, seed, arguments.output.empty() ? task : arguments.output / name / folder.filename()});
  }
  return evaluations;
}

/// Logs what ends, and keeps one line of what is under way.
class ProgressLog {
 public:
  explicit ProgressLog(const std::vector<hear::Evaluation>& evaluations)
      : evaluations_(evaluations), reported_(evaluations.size(), false) {}

  void operator()(const std::vector<EvaluationStatus>& statuses) {
    std::size_t ended = 0;
    std::ostringstream running;
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      const EvaluationStatus& status = statuses[i];
      const bool over = status.state == EvaluationState::kDone || status.state == EvaluationState::kFailed;
      ended += over;
      if (over && !reported_[i]) report(i, status);
      if (status.state != EvaluationState::kRunning) continue;
      running << (running.tellp() > 0 ? ", " : "") << name(i);
      if (status.models_total > 0) running << " (" << status.models_done << "/" << status.models_total << ")";
    }
    log::progress(str(ended, " of ", statuses.size(), " evaluations; running: ", running.str()), false);
  }

 private:
  std::string name(std::size_t i) const {
    const fs::path folder = fs::canonical(evaluations_[i].embeddings_dir);
    return str(evaluations_[i].model, "/", folder.filename().string(), " seed ", evaluations_[i].seed);
  }

  void report(std::size_t i, const EvaluationStatus& status) {
    reported_[i] = true;
    if (status.state == EvaluationState::kFailed) {
      log::error(name(i) + ": " + status.error);
    } else {
      log::info(str(name(i), ": ", status.test_score, status.resumed ? " (found)" : ""));
    }
  }

  const std::vector<hear::Evaluation>& evaluations_;
  std::vector<bool> reported_;
};

/// A line for each task of each model: the mean over its seeds.
void print_table(const std::vector<hear::Evaluation>& evaluations, const std::vector<EvaluationStatus>& statuses) {
  std::map<fs::path, std::vector<double>> scores;
  for (std::size_t i = 0; i < evaluations.size(); ++i) {
    if (statuses[i].state == EvaluationState::kDone) {
      scores[evaluations[i].embeddings_dir].push_back(statuses[i].test_score);
    }
  }
  for (const auto& [task, values] : scores) {
    const hear::MeanInterval mean = hear::mean_interval(values);
    std::cout << std::left << std::setw(40) << task.string() << "  " << std::fixed << std::setprecision(4) << mean.mean;
    if (mean.half_width) std::cout << " ± " << *mean.half_width << "  (" << mean.n << " seeds, 95 % interval)";
    std::cout << "\n";
  }
  std::cout << std::flush;
}

}  // namespace

std::vector<fs::path> find_tasks(const fs::path& input) {
  AXLSTM_CHECK(fs::is_directory(input), input.string(), ": no such folder");
  if (hear::is_task_folder(input)) return {input};
  std::vector<fs::path> tasks;
  for (const auto& entry : fs::directory_iterator(input)) {
    if (hear::is_task_folder(entry.path())) tasks.push_back(entry.path());
  }
  AXLSTM_CHECK(!tasks.empty(), input.string(), ": holds no HEAR task (a folder with task_metadata.json)");
  std::sort(tasks.begin(), tasks.end());
  return tasks;
}

ExitCode evaluate(const EvaluateArguments& arguments) {
  if (arguments.seeds > 1 && arguments.output.empty()) {
    throw UsageError("--seeds needs --output: the folder of the embeddings has room for the scores of one seed");
  }
  bool all_found = true;
  std::vector<hear::Evaluation> evaluations;
  for (const fs::path& input : arguments.inputs) {
    try {
      for (const fs::path& task : find_tasks(input)) {
        const auto planned = plan(task, arguments);
        evaluations.insert(evaluations.end(), planned.begin(), planned.end());
      }
    } catch (const Error& failure) {
      log::error(failure.what());
      all_found = false;
    }
  }

  hear::RunnerOptions options = arguments.runner;
  constexpr int kJobsOnGpu = 4;
  const auto cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.jobs = arguments.jobs > 0        ? arguments.jobs
                 : options.device.is_cpu() ? std::max(1, cores / options.threads)
                                           : kJobsOnGpu;
  options.stop = &stop_on_signal();
  ProgressLog progress(evaluations);
  options.progress = [&](const std::vector<EvaluationStatus>& statuses) { progress(statuses); };
  const auto statuses = hear::run_evaluations(evaluations, options);
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

}  // namespace axlstm::cli
