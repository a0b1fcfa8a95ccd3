// HEAR's downstream evaluation of one task: grid search, folds, test scores and their file.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "axlstm/downstream/downstream_model.h"
#include "axlstm/downstream/task_data.h"
#include "axlstm/hear/options.h"

namespace axlstm::downstream {

struct EvaluationOptions {
  std::string grid = hear::kGrids.front();                      ///< a name that hear::grid_points knows
  int max_grid_points = hear::kGridPoints;                      ///< the first ones of the shuffled grid are tried
  std::uint64_t seed = 0;                                       ///< of torch's and Python's generators, set once
  const std::atomic<bool>* stop = nullptr;                      ///< when true, training ends with Interrupted
  std::function<void(int done, int total)> progress = nullptr;  ///< in trained models; may be empty
  /// Takes the bytes of each test split's `<fold>.predictions.pkl`; may be empty.
  std::function<void(const std::string& fold, const std::string& pickle)> predictions = nullptr;
};

/// Scores of one model on its test split.
struct FoldScores {
  std::string name;                                    ///< the test split: "test" or "fold00", …
  std::vector<std::pair<std::string, double>> values;  ///< "test_loss", "test_score", then "test_" + each score
  double validation_score = 0.0;
  int epoch = 0;
  double minutes = 0.0;
};

struct TaskScores {
  std::filesystem::path embeddings_dir;
  hear::DownstreamConfig config;                       ///< the grid point that won on the first plan
  std::optional<hear::Postprocessing> postprocessing;  ///< event tasks: that of the same model
  bool maximize = true;                                ///< false if a loss or an error rate decided
  std::vector<FoldScores> folds;

  /// The primary score on the test split, the mean over folds if there are several.
  double test_score() const;
};

/// Trains and tests the official downstream models of one task. The grid is searched on the first plan of
/// plan_splits only; the winner is trained again on each further fold. One model after the other, for they share one
/// random stream; other tasks and seeds may run in other threads.
/// Equal digits as the official kit need the CPU and at::set_num_threads(1).
TaskScores evaluate_task(const TaskData& data, const EvaluationOptions& options);

/// Writes `directory`/test.predicted-scores.json in the official layout; for folds with means and standard
/// deviations (n - 1) over them. Readers see the old file or the new one.
void write_scores(const TaskScores& scores, const std::filesystem::path& directory);

}  // namespace axlstm::downstream
