// Training from a list of clips to a finished model.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "axlstm/checkpoints/checkpoint_writer.h"
#include "axlstm/data/loader.h"
#include "axlstm/train/evaluation.h"
#include "axlstm/train/run_folder.h"
#include "axlstm/train/run_log.h"
#include "axlstm/train/state.h"
#include "axlstm/train/step.h"
#include "axlstm/train/validation.h"

namespace axlstm::train {

/// Scores the encoder as it is; nothing if that failed. Must not draw from LibTorch's global generators.
using Probe = std::function<std::optional<double>(model::Encoder encoder)>;

enum class TrainingOutcome { kFinished, kInterrupted };

/// Trains until the schedule ends or `stop` turns true, continuing from the newest checkpoint of the run folder.
/// Every random draw is a function of the seed and the step, so an interrupted run ends with the same numbers as one
/// that was not (same machine, same thread count).
class Trainer {
 public:
  /// Opens the clips and makes the model. `group`: this process trains together with others; it must outlive the
  /// trainer. The numbers are those of one process, to rounding. Rank 0 reads the checkpoint and writes everything.
  explicit Trainer(config::RunConfig config, distributed::ProcessGroup* group = nullptr);

  /// Called by rank 0 every eval.probe_every_epochs epochs and at the end, in the precision of training.
  void set_probe(Probe probe) { probe_ = std::move(probe); }

  /// `folder`: train.run_dir, if it is open already; else rank 0 opens it. With several ranks `stop` may turn true in
  /// any of them: all stop after the same step.
  TrainingOutcome run(const std::atomic<bool>& stop, std::unique_ptr<RunFolder> folder = nullptr);

  /// Makes a few steps without writing anything, and tells what the run would be: its data, its steps, how long it
  /// takes, the disk it needs. Throws what run() would throw.
  std::string dry_run();

 private:
  bool leads() const { return !group_ || group_->rank() == 0; }
  StepSetup setup();
  void resume();
  void open_loader();
  std::int64_t last_step() const;
  bool every(std::int64_t steps) const { return state_.step % steps == 0 || state_.step == last_step(); }
  double epoch() const;  ///< where the next step begins
  torch::Tensor draw(std::int64_t step) const;
  StepResult train_one_step(double lr, bool stop = false);
  void count_skipped(const StepResult& result, const data::Batch& batch, const torch::Tensor& drawn);
  StepRecord record_of(const StepResult& result, double lr, Stopwatch& watch);
  std::optional<double> run_probe();
  std::int64_t evaluation_steps() const;
  bool evaluation_is_due() const;
  bool is_exhausted() const;
  void evaluate(StepRecord* record, Stopwatch& watch);
  checkpoints::Checkpoint checkpoint() const;
  void draw_picture(RunLog& log);

  config::RunConfig config_;
  distributed::ProcessGroup* group_;
  std::int64_t first_row_ = 0, rows_;  ///< this rank's part of a batch
  runtime::Arithmetic arithmetic_;
  std::shared_ptr<data::ClipSource> clips_;
  std::string data_fingerprint_;
  State state_;
  std::optional<distributed::GradientReducer> reducer_;
  std::optional<Ranks> ranks_;
  std::optional<StepGraph> graph_;  ///< of objectives that see nothing but spectrograms
  std::optional<Validation> validation_;
  std::optional<Evaluation> evaluation_;                   ///< of a classifier, in place of that
  std::shared_ptr<const data::ClipClasses> classes_ = {};  ///< of all clips; null where none are wanted
  std::vector<double> weights_;                            ///< that clips are drawn by; empty: all alike
  Probe probe_;
  double step_flops_;                 ///< of a whole batch
  std::optional<double> peak_flops_;  ///< of the devices of all ranks, where it is known
  std::int64_t total_steps_ = 0;
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<data::Loader> loader_;
  std::future<torch::Tensor> drawn_ahead_;  ///< for the next step, drawn while the step before it was computed
  std::unique_ptr<checkpoints::CheckpointWriter> writer_;
};

}  // namespace axlstm::train
