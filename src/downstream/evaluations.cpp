#include "axlstm/downstream/evaluations.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/parallel.h"
#include "axlstm/downstream/evaluation.h"
#include "axlstm/downstream/task_data.h"
#include "axlstm/hear/evaluation_record.h"
#include "axlstm/hear/score_file.h"

namespace axlstm::downstream {
namespace {

namespace fs = std::filesystem;

/// The embeddings of a task for as long as an evaluation still needs them.
class SharedTask {
 public:
  void add_user() { ++users_left_; }

  std::shared_ptr<const TaskData> load(const fs::path& directory, torch::Device device) {
    const std::lock_guard lock(mutex_);
    auto& data = data_[device.str()];
    if (!data) data = std::make_shared<const TaskData>(directory, device);
    return data;
  }

  const std::string& fingerprint(const fs::path& directory) {
    const std::lock_guard lock(mutex_);
    if (fingerprint_.empty()) fingerprint_ = hear::embeddings_fingerprint(directory);
    return fingerprint_;
  }

  void remove_user() {
    const std::lock_guard lock(mutex_);
    if (--users_left_ == 0) data_.clear();
  }

 private:
  std::mutex mutex_;
  int users_left_ = 0;
  std::map<std::string, std::shared_ptr<const TaskData>> data_;  // by device
  std::string fingerprint_;
};

class Evaluations {
 public:
  Evaluations(const std::vector<Evaluation>& evaluations, const EvaluationsOptions& options)
      : evaluations_(evaluations), options_(options), statuses_(evaluations.size()) {
    for (const Evaluation& evaluation : evaluations) tasks_[evaluation.embeddings_dir].add_user();
  }

  std::vector<EvaluationStatus> run() {
    for_each_index(
        evaluations_.size(), static_cast<std::size_t>(std::max(1, options_.jobs)),
        [this](std::size_t thread) { return begin(options_.devices[thread % options_.devices.size()]); },
        options_.stop);
    return statuses_;
  }

 private:
  /// Sets up a thread; what it returns works on one evaluation.
  std::function<void(std::size_t)> begin(const torch::Device& device) {
    torch::set_num_threads(options_.threads);  // OpenMP keeps the number for each thread
    std::shared_ptr<c10::StreamGuard> stream;  // so that models overlap on a GPU
    if (!device.is_cpu()) {
      const c10::impl::VirtualGuardImpl guard(device.type());
      stream = std::make_shared<c10::StreamGuard>(guard.getStreamFromGlobalPool(device));
    }
    return [this, device, stream](std::size_t i) { work(i, device); };
  }

  void work(std::size_t i, const torch::Device& device) {
    SharedTask& task = tasks_.at(evaluations_[i].embeddings_dir);
    try {
      evaluate(i, task, device);
    } catch (const Interrupted&) {
      update(i, [](EvaluationStatus& status) { status.state = EvaluationState::kWaiting; });
    } catch (const std::exception& failure) {
      update(i, [&](EvaluationStatus& status) {
        status.state = EvaluationState::kFailed;
        status.error = message_of(failure);
      });
    }
    task.remove_user();
  }

  void evaluate(std::size_t i, SharedTask& task, const torch::Device& device) {
    const auto start = std::chrono::steady_clock::now();
    const Evaluation& evaluation = evaluations_[i];
    update(i, [](EvaluationStatus& status) { status.state = EvaluationState::kRunning; });
    const hear::EvaluationRecord record{
        evaluation.model,         fs::canonical(evaluation.embeddings_dir).filename().string(),
        evaluation.seed,          options_.grid,
        options_.max_grid_points, task.fingerprint(evaluation.embeddings_dir)};
    fs::create_directories(evaluation.output_dir);
    const FileLock lock(evaluation.output_dir / ".evaluation.lock");
    if (const auto found = hear::read_record(evaluation.output_dir)) {
      AXLSTM_CHECK(*found == record, evaluation.output_dir.string(), ": holds scores of ",
                   hear::difference(*found, record), "; remove it, or choose another --output");
      return finish(i, hear::read_test_score(evaluation.output_dir), true);
    }

    const auto data = task.load(evaluation.embeddings_dir, device);
    EvaluationOptions options{options_.grid, options_.max_grid_points, evaluation.seed, options_.stop};
    options.progress = [&](int done, int total) {
      update(i, [&](EvaluationStatus& status) {
        status.models_done = done;
        status.models_total = total;
      });
    };
    options.predictions = [&](const std::string& fold, const std::string& pickle) {
      write_file_atomic(evaluation.output_dir / (fold + ".predictions.pkl"), pickle);
    };
    const TaskScores scores = evaluate_task(*data, options);
    write_scores(scores, evaluation.output_dir);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    hear::write_record(evaluation.output_dir, record, evaluation.embeddings_dir, data->D(), seconds.count(),
                       device.str());
    finish(i, scores.test_score(), false);
  }

  void finish(std::size_t i, double test_score, bool resumed) {
    update(i, [&](EvaluationStatus& status) {
      status.state = EvaluationState::kDone;
      status.test_score = test_score;
      status.resumed = resumed;
    });
  }

  template <typename Change>
  void update(std::size_t i, const Change& change) {
    const std::lock_guard lock(mutex_);
    change(statuses_[i]);
    if (options_.progress) options_.progress(statuses_);
  }

  const std::vector<Evaluation>& evaluations_;
  const EvaluationsOptions& options_;
  std::map<fs::path, SharedTask> tasks_;
  std::mutex mutex_;  // of statuses_ and the progress callback
  std::vector<EvaluationStatus> statuses_;
};

}  // namespace

std::vector<EvaluationStatus> run_evaluations(const std::vector<Evaluation>& evaluations,
                                              const EvaluationsOptions& options) {
  hear::grid_points(options.grid, {});
  std::set<fs::path> outputs;
  for (const Evaluation& evaluation : evaluations) {
    if (!outputs.insert(fs::weakly_canonical(evaluation.output_dir)).second) {
      throw UsageError(evaluation.output_dir.string() +
                       ": two evaluations would write their scores here; give the models' folders different names");
    }
  }
  return Evaluations(evaluations, options).run();
}

}  // namespace axlstm::downstream
