// hear-eval: embeddings of HEAR tasks → scores of the official downstream models.
#include <torch/torch.h>

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <map>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/hear/evaluation.h"
#include "axlstm/hear/task.h"
#include "axlstm/train/trainer.h"
#include "cli.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

/// `input` if it is a task's folder, else the task folders in it.
std::vector<fs::path> find_tasks(const fs::path& input) {
  AXLSTM_CHECK(fs::is_directory(input), input.string(), ": no such folder of embeddings");
  if (hear::is_task_folder(input)) return {input};
  std::vector<fs::path> tasks;
  for (const auto& entry : fs::directory_iterator(input)) {
    if (hear::is_task_folder(entry.path())) tasks.push_back(entry.path());
  }
  AXLSTM_CHECK(!tasks.empty(), input.string(),
               ": holds no embeddings of a HEAR task (a folder with task_metadata.json)");
  std::sort(tasks.begin(), tasks.end());
  return tasks;
}

void evaluate(const fs::path& task, torch::Device device, const hear::EvaluationOptions& options) {
  const hear::TaskScores scores = hear::evaluate_task(hear::TaskData(task, device), options);
  hear::write_scores(scores, task);
  std::cout << std::left << std::setw(40) << task.string() << "  " << std::fixed << std::setprecision(4)
            << scores.test_score() << "  (" << scores.folds.size()
            << (scores.folds.size() == 1 ? " test split" : " folds") << ")" << std::endl;
}

/// Evaluates every task that can be; the others are reported and passed over.
cli::ExitCode evaluate_all(const std::vector<fs::path>& inputs, torch::Device device,
                           const hear::EvaluationOptions& options) {
  int done = 0, failed = 0;
  const auto attempt = [&failed](const auto& action) {
    try {
      action();
    } catch (const UsageError&) {
      throw;  // would be the same for every task
    } catch (const Error& failure) {
      log::error(failure.what());
      ++failed;
    }
  };
  for (const fs::path& input : inputs) {
    std::vector<fs::path> tasks;
    attempt([&] { tasks = find_tasks(input); });
    for (const fs::path& task : tasks) {
      attempt([&] {
        evaluate(task, device, options);
        ++done;
      });
    }
  }
  return failed == 0 ? cli::kOk : done > 0 ? cli::kSomeFailed : cli::kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Trains and tests HEAR's downstream models on embeddings in the official layout (as `extract` writes them for a\n"
      "task) and writes test.predicted-scores.json beside them. Example: hear-eval embeddings/tiny/*\n"
      "Exits with 3 if some tasks could not be evaluated."};
  std::vector<fs::path> inputs;
  hear::EvaluationOptions options;
  int threads = 1;
  train::DeviceChoice device = train::DeviceChoice::kCpu;
  const std::map<std::string, train::DeviceChoice> devices{{"cpu", train::DeviceChoice::kCpu},
                                                           {"cuda", train::DeviceChoice::kCuda}};
  app.add_option("embeddings", inputs, "Embedding folders of tasks, or folders of such")->required()->type_name("DIR");
  app.add_option("--grid", options.grid,
                 "Hyper-parameters: released (the paper's two points), default, fast or faster (HEAR's)")
      ->capture_default_str();
  app.add_option("--grid-points", options.max_grid_points, "Points of the shuffled grid to try")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of initialisation, dropout and grid order")->capture_default_str();
  app.add_option("--threads", threads, "CPU threads; 1 gives the official kit's digits")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--device", device, "Where to compute")
      ->transform(CLI::CheckedTransformer(devices))
      ->option_text("cpu|cuda [cpu]");
  cli::add_common_flags(app);
  return cli::run(app, argc, argv, [&]() -> int {
    torch::set_num_threads(threads);
    config::RunConfig platform;
    platform.train.device = device;
    cli::log_banner("hear-eval", platform);
    options.progress = [](int done, int total) {
      log::progress(str("trained ", done, " of ", total, " models"), false);
    };
    return evaluate_all(inputs, train::choose_device(device), options);
  });
}
