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
#include "axlstm/train/step_graph.h"

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
  StepGraph* graph = nullptr;       ///< null: every step is made operator by operator
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

/// Whether the ranks' gradients are added up while the last ones are computed.
enum class Sums { kOverlapped, kNone };

/// The part of training_step() that needs no other rank: gradients; and float64 [2]: the loss, and 0 for the number of
/// ranks that were asked to stop. Without ranks [3]: also the gradients' norm. With kNone the caller tells the reducer
/// when the gradients are there.
torch::Tensor until_ranks_meet(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn,
                               Sums sums = Sums::kOverlapped);

/// Clips of one forward pass, of a batch of so many.
std::int64_t device_batch(const config::RunConfig& config, std::int64_t batch);

/// Mean loss [] of `count` clips from `first` on. One function for the step and for trying what fits.
torch::Tensor loss_of(objective::Objective& objective, const runtime::Arithmetic& arithmetic, const data::Batch& batch,
                      const torch::Tensor& drawn, std::int64_t first, std::int64_t count);

}  // namespace axlstm::train
