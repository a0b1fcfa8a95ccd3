// Pre-training from a list of clips to a finished model.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "axlstm/data/loader.h"
#include "axlstm/train/checkpoint_writer.h"
#include "axlstm/train/ema.h"
#include "axlstm/train/run_log.h"
#include "axlstm/train/step.h"
#include "axlstm/train/validation.h"

namespace axlstm::train {

/// Scores the model as it is; nothing if that failed. Must not draw from LibTorch's global generators.
using Probe = std::function<std::optional<double>(model::MaskedModel& model)>;

enum class RunStatus { kFinished, kInterrupted };

/// Trains until the schedule ends or `stop` turns true, continuing from the newest checkpoint of the run folder.
/// Every random draw is a function of the seed and the step, so an interrupted run ends with the same numbers as one
/// that was not (same machine, same thread count).
class Trainer {
 public:
  /// `group`: this process trains together with others; it must outlive the trainer. The numbers are those of one
  /// process, to rounding. Rank 0 reads the checkpoint and writes everything.
  explicit Trainer(RunSpec spec, ProcessGroup* group = nullptr);

  /// Called by rank 0 every eval.probe_every_epochs epochs and at the end, in the precision of training.
  void set_probe(Probe probe) { probe_ = std::move(probe); }

  /// With several ranks `stop` may turn true in any of them: all stop after the same step.
  RunStatus run(const std::atomic<bool>& stop);

  /// Makes a few steps without writing anything, and tells what the run would be: its data, its steps, how long it
  /// takes, the disk it needs. Throws what run() would throw.
  std::string dry_run();

 private:
  bool leads() const { return !group_ || group_->rank() == 0; }
  void resume();
  void share_state();
  void open_loader();
  std::int64_t last_step() const;
  double epoch() const;  ///< where the next step begins
  torch::Tensor draw_noise(std::int64_t step) const;
  StepResult train_one_step(double lr, bool stop = false);
  std::string out_of_memory_message(const data::Batch& batch, const torch::Tensor& noise);
  std::string locate_non_finite(const data::Batch& batch, const torch::Tensor& noise);
  void count_skipped(const StepResult& result, const data::Batch& batch, const torch::Tensor& noise);
  std::optional<double> run_probe();
  Checkpoint checkpoint();  ///< of the present step; shares the tensors

  /// Draws one fixed crop under one fixed mask, so that the pictures of a run show the model getting better. Returns
  /// the file, nothing if it could not be written.
  std::optional<std::filesystem::path> draw_picture();

  RunSpec spec_;
  ProcessGroup* group_;
  std::int64_t first_row_ = 0, rows_;  ///< this rank's part of a batch
  torch::Device device_;
  std::shared_ptr<data::ClipSource> clips_;
  std::string data_fingerprint_;
  model::MaskedModel model_;
  AdamW optimizer_;
  GradScaler scaler_;
  Ema ema_;
  std::optional<GradientReducer> reducer_;
  std::optional<Validation> validation_;
  Probe probe_;
  double step_flops_;                 ///< of a whole batch
  std::optional<double> peak_flops_;  ///< of the devices of all ranks, where it is known
  std::int64_t step_ = 0;
  std::int64_t total_steps_ = 0;
  std::int64_t resumed_step_ = -1;  ///< −1: a new run
  std::int64_t skipped_steps_ = 0, skipped_in_a_row_ = 0;
  std::unique_ptr<data::Loader> loader_;
  std::future<torch::Tensor> noise_ahead_;  ///< of step_, drawn while the step before it was computed
  std::unique_ptr<CheckpointWriter> writer_;
};

/// CPU threads of one operator: train.threads, else what OMP_NUM_THREADS or MKL_NUM_THREADS asks for, else this rank's
/// share of the cores that may be used.
int cpu_threads(const TrainOptions& options, const ProcessGroup* group);

/// The device that a choice means here. Throws UsageError for cuda where there is none.
torch::Device choose_device(DeviceChoice choice);
/// The same for work that several GPUs can share: all of them.
std::vector<torch::Device> choose_devices(DeviceChoice choice);

}  // namespace axlstm::train
