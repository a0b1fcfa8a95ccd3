// Many evaluations at once: tasks and seeds over the cores (or GPUs), embeddings loaded once, resumable.
//
// The models of one task and seed share one random stream, as in the official kit, and therefore run one after the
// other; everything else runs side by side.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "axlstm/hear/options.h"

namespace axlstm::downstream {

/// One task's embeddings and one seed.
struct Evaluation {
  std::filesystem::path embeddings_dir;
  std::string model;  ///< what the embeddings are of; noted beside the scores
  std::uint64_t seed = 0;
  std::filesystem::path output_dir;  ///< gets the scores, <fold>.predictions.pkl and prediction-done.json
};

enum class EvaluationState { kWaiting, kRunning, kDone, kFailed };

struct EvaluationStatus {
  EvaluationState state = EvaluationState::kWaiting;
  int models_done = 0, models_total = 0;  ///< trained models; total 0 until they are known
  double test_score = 0.0;                ///< when done
  bool resumed = false;                   ///< done earlier: its scores were found
  std::string error;                      ///< when failed
};

struct EvaluationsOptions {
  std::string grid = hear::kGrids.front();
  int max_grid_points = hear::kGridPoints;
  int jobs = 1;                                     ///< evaluations at once
  int threads = 1;                                  ///< of an operator in each; 1 gives the official digits
  std::vector<torch::Device> devices{torch::kCPU};  ///< GPUs share the evaluations
  const std::atomic<bool>* stop = nullptr;          ///< when true, running evaluations are given up between two epochs
  /// Called at every change, by one thread at a time; may be empty.
  std::function<void(const std::vector<EvaluationStatus>&)> progress = nullptr;
};

/// Runs the evaluations in about their order, so that few tasks are in memory at once, and returns how each ended;
/// one that fails does not end the others. An evaluation whose scores lie in output_dir already is not run again.
/// Throws UsageError, before anything is computed, for an unknown grid and for two evaluations with one output_dir.
std::vector<EvaluationStatus> run_evaluations(const std::vector<Evaluation>& evaluations,
                                              const EvaluationsOptions& options);

}  // namespace axlstm::downstream
