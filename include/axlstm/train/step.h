// One optimiser step: forward, backward, update.
#pragma once

#include <cstdint>

#include "axlstm/config/schema.h"
#include "axlstm/data/batch.h"
#include "axlstm/distributed/gradient_reducer.h"
#include "axlstm/objective/objective.h"
#include "axlstm/runtime/arithmetic.h"
#include "axlstm/train/grad_scaler.h"
#include "axlstm/train/optim.h"

namespace axlstm::train {

/// The ranks that make a step together, each on its part of the batch.
struct Ranks {
  distributed::ProcessGroup& group;
  distributed::GradientReducer& reducer;
};

/// What all steps of a run have in common.
struct StepSetup {
  objective::Objective& objective;
  AdamW& optimizer;
  runtime::Arithmetic arithmetic;
  const config::RunConfig& config;  ///< optim.global_batch, optim.clip_grad_norm, train.device_batch
  GradScaler* scaler = nullptr;     ///< needed for fp16 only
  Ranks* ranks = nullptr;           ///< null: one process trains alone
};

/// Loss (already divided among micro-batches) and gradient norm of one optimiser step.
struct StepResult {
  double loss = 0;
  double grad_norm = 0;
  bool skipped = false;              ///< one of the two is not finite, so the weights were left as they are
  bool stop = false;                 ///< some rank asked to stop
  double seconds_communicating = 0;  ///< that computing did not hide
};

/// One step on a batch with what Objective::draw gave for it, both on any device, in micro-batches of
/// train.device_batch clips. With ranks the batch is this rank's part of optim.global_batch, and all ranks get the same
/// result; `stop` tells them that this one was asked to stop.
StepResult training_step(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn, double lr,
                         bool stop = false);

/// Clips of one forward pass, of a batch of so many.
std::int64_t device_batch(const config::RunConfig& config, std::int64_t batch);

/// Mean loss [] of `count` clips from `first` on. One function for the step and for trying what fits.
torch::Tensor loss_of(objective::Objective& objective, const runtime::Arithmetic& arithmetic, const data::Batch& batch,
                      const torch::Tensor& drawn, std::int64_t first, std::int64_t count);

}  // namespace axlstm::train
