// Pre-training from a list of clips to a finished model.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "axlstm/audio/options.h"
#include "axlstm/data/loader.h"
#include "axlstm/model/masked_model.h"
#include "axlstm/train/checkpoint.h"
#include "axlstm/train/optim.h"
#include "axlstm/train/run_log.h"

namespace axlstm::train {

/// All that determines a run.
struct RunSpec {
  audio::LogMelOptions audio;
  data::DataOptions data;
  model::EncoderOptions model;
  model::MaskOptions mask;
  model::LossOptions loss;
  OptimOptions optim;
  TrainOptions train;
  std::string config_yaml;  ///< stored with the run and in every checkpoint
};

enum class RunStatus { kFinished, kInterrupted };

/// Loss (already divided among micro-batches) and gradient norm of one optimiser step.
struct StepResult {
  double loss = 0;
  double grad_norm = 0;
};

/// One step: forward, backward and update on a batch with given mask noise. spectrogram [B, 1, L, F] and noise on any
/// device; micro-batches of `device_batch` clips (0: all). Throws Error if the loss is not finite, before the update.
StepResult training_step(model::MaskedModel& model, AdamW& optimizer, const torch::Tensor& spectrogram,
                         const torch::Tensor& noise, double lr, const RunSpec& spec);

/// Trains until the schedule ends or `stop` turns true, continuing from the newest checkpoint of the run folder.
/// Every random draw is a function of the seed and the step, so an interrupted run ends with the same numbers as one
/// that was not (same machine, same thread count).
class Trainer {
 public:
  explicit Trainer(RunSpec spec);
  RunStatus run(const std::atomic<bool>& stop);

 private:
  void resume();
  double epoch() const;  ///< where the next step begins
  StepResult train_one_step(double lr);
  void save();
  void draw_picture();

  RunSpec spec_;
  torch::Device device_;
  std::shared_ptr<data::Dataset> dataset_;
  std::string data_fingerprint_;
  model::MaskedModel model_;
  AdamW optimizer_;
  std::int64_t step_ = 0;
  std::int64_t total_steps_ = 0;
  std::int64_t saved_step_ = -1;
  std::unique_ptr<data::Loader> loader_;
};

/// The device that a choice means here. Throws UsageError for cuda where there is none.
torch::Device choose_device(DeviceChoice choice);

}  // namespace axlstm::train
