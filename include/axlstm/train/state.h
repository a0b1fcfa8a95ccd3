// What a run has come to: all that a checkpoint holds.
#pragma once

#include <memory>
#include <string>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/config/schema.h"
#include "axlstm/distributed/process_group.h"
#include "axlstm/objective/objective.h"
#include "axlstm/runtime/arithmetic.h"
#include "axlstm/train/ema.h"
#include "axlstm/train/grad_scaler.h"
#include "axlstm/train/optim.h"

namespace axlstm::train {

struct State {
  /// A new run's. Says what its kernels will be slow at; throws UsageError if they cannot be as kernel.* asks.
  State(const config::RunConfig& config, const runtime::Arithmetic& arithmetic);

  std::unique_ptr<objective::Objective> objective;
  AdamW optimizer;
  GradScaler scaler;
  Ema ema;
  std::int64_t step = 0;
  std::int64_t resumed_step = -1;     ///< −1: a new run
  std::int64_t skipped_steps = 0;     ///< of the run so far, for a loss or gradient that was not finite
  std::int64_t skipped_in_a_row = 0;  ///< up to the last step
  std::int64_t best_step = -1;        ///< with the best eval.metric so far; −1: none was scored
  double best_score = 0;              ///< of that step; more is better

  torch::nn::Module& module() const { return objective->module(); }

  /// Of the present step; shares the tensors.
  checkpoints::Checkpoint checkpoint(const std::string& config_yaml, const std::string& data_fingerprint) const;

  /// Goes on where a checkpoint ended. Throws Error naming `source` and the tensors that do not fit.
  void load(const checkpoints::Checkpoint& checkpoint, const std::string& source);

  /// Takes over the score of the present step if it is the best one so far. Weights with which steps are being skipped
  /// do not count.
  void note_score(double score);

  /// Gives a new classifier the encoder that it is to begin with.
  void begin_with_encoder(const config::RunConfig& config);

  /// Rank 0's best step becomes everybody's.
  void share_best(distributed::ProcessGroup& group);

  /// Rank 0's state becomes everybody's.
  void share(distributed::ProcessGroup& group);
};

}  // namespace axlstm::train
