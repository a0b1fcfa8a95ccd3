// One optimiser step: forward, backward, update.
#pragma once

#include <string>

#include "axlstm/audio/options.h"
#include "axlstm/data/options.h"
#include "axlstm/model/masked_model.h"
#include "axlstm/train/amp.h"
#include "axlstm/train/gradient_reducer.h"
#include "axlstm/train/optim.h"

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
  DistributedOptions distributed;
  EvalOptions eval;
  std::string config_yaml;  ///< stored with the run and in every checkpoint
};

/// Loss (already divided among micro-batches) and gradient norm of one optimiser step.
struct StepResult {
  double loss = 0;
  double grad_norm = 0;
  bool skipped = false;              ///< one of the two is not finite, so the weights were left as they are
  bool stop = false;                 ///< some rank asked to stop
  double seconds_communicating = 0;  ///< that computing did not hide
};

/// This rank's part in a step that all make together.
struct SharedStep {
  ProcessGroup& group;
  GradientReducer& reducer;
  bool stop = false;  ///< this rank was asked to stop
};

/// One step on a batch with given mask noise, in the precision of `spec`. spectrogram [B, 1, L, F] and noise on any
/// device; micro-batches of `device_batch` clips (0: all). `scaler` is needed for fp16 only. With `shared`, B clips are
/// this rank's part of optim.global_batch, and all ranks get the same result.
StepResult training_step(model::MaskedModel& model, AdamW& optimizer, const torch::Tensor& spectrogram,
                         const torch::Tensor& noise, double lr, const RunSpec& spec, GradScaler* scaler = nullptr,
                         const SharedStep* shared = nullptr);

/// Clips of one forward pass, of a batch of so many.
std::int64_t device_batch(const RunSpec& spec, std::int64_t batch);

/// After a step that ran out of memory: a half, a quarter, … of its clips of which forward and backward pass fit, found
/// by trying; 0 if not even one does. Gradients are spoilt.
std::int64_t largest_fitting_batch(model::MaskedModel& model, const torch::Tensor& spectrogram,
                                   const torch::Tensor& noise, const RunSpec& spec);

/// Where numbers stop being finite, after a step that was skipped for it.
struct NonFinite {
  std::int64_t row = -1;  ///< the first clip of the batch that leads to it; −1: none does alone
  std::string place;      ///< such as "blocks.3.layer.mlstm_cell (aten::exp)"
};

/// Repeats a skipped step piece by piece and looks at every operator's result. Slow, and spoils the gradients.
NonFinite find_non_finite(model::MaskedModel& model, const torch::Tensor& spectrogram, const torch::Tensor& noise,
                          const RunSpec& spec);

}  // namespace axlstm::train
