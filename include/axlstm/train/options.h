// The recipe and the running of a pre-training; plain values.
#pragma once

#include <cstdint>
#include <string>

#include "axlstm/runtime/options.h"

namespace axlstm::train {

struct OptimOptions {
  double base_lr = 1.5e-4;           ///< learning rate per 256 clips of batch: lr = base_lr · global_batch / 256
  std::int64_t global_batch = 1024;  ///< clips per optimiser step
  double epochs = 100;               ///< length of the schedule
  double warmup_epochs = 10;
  double weight_decay = 0.05;  ///< not on biases and one-dimensional parameters
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double clip_grad_norm = 0.0;  ///< 0: off, as in the paper
};

struct TrainOptions {
  std::string run_dir = "runs/axlstm";
  runtime::DeviceChoice device = runtime::DeviceChoice::kAuto;
  runtime::Precision precision = runtime::Precision::kAuto;  ///< kAuto: bf16 on a GPU, fp32 on the CPU
  bool deterministic = false;  ///< only operators that repeat to the last bit, where LibTorch has them
  std::int64_t seed = 0;
  std::int64_t threads = 0;             ///< CPU threads of one operator; 0: as many as the cores that may be used
  std::int64_t device_batch = 0;        ///< clips per forward pass; gradients are accumulated. 0: the whole batch
  std::int64_t max_steps = 0;           ///< stop here without changing the schedule; 0: at its end
  std::int64_t max_skipped_steps = 10;  ///< in a row, for a loss or gradient that is not finite; so many end the run
  std::int64_t log_every_steps = 20;
  std::int64_t save_every_steps = 1000;
  std::int64_t validate_every_steps = 1000;
  std::int64_t keep_last = 3;         ///< checkpoints
  std::int64_t keep_every_steps = 0;  ///< checkpoints of multiples of this are never deleted; 0: none
  double ema_decay = 0.0;             ///< of averaged weights kept beside the others; 0: none
  std::int64_t picture_every_steps = 1000;
};

/// A score of the representations while they are learned.
struct EvalOptions {
  std::string probe;  ///< folder of a HEAR task of whole clips; empty: none
  std::int64_t probe_every_epochs = 1;
  std::int64_t probe_clips = 1000;  ///< at most so many to compare with, and so many to score
};

}  // namespace axlstm::train
