// The recipe and the running of a pre-training; plain values, whose meaning is in their visit.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "axlstm/core/visitor.h"

namespace axlstm::train {

struct OptimOptions {
  double base_lr = 1.5e-4;
  std::int64_t global_batch = 1024;
  double epochs = 100;
  double warmup_epochs = 10;
  double weight_decay = 0.05;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double clip_grad_norm = 0.0;
};

enum class DeviceChoice { kAuto, kCpu, kCuda };
constexpr auto enum_names(DeviceChoice) { return std::array{"auto", "cpu", "cuda"}; }

/// Arithmetic of matrix products in training; weights, optimiser and loss are float32 in all of them.
enum class Precision { kAuto, kBf16, kFp16, kFp32, kTf32 };
constexpr auto enum_names(Precision) { return std::array{"auto", "bf16", "fp16", "fp32", "tf32"}; }

struct TrainOptions {
  std::string run_dir = "runs/axlstm";
  DeviceChoice device = DeviceChoice::kAuto;
  Precision precision = Precision::kAuto;
  bool deterministic = false;
  std::int64_t seed = 0;
  std::int64_t threads = 0;
  std::int64_t device_batch = 0;
  std::int64_t max_steps = 0;
  std::int64_t max_skipped_steps = 10;
  std::int64_t log_every_steps = 20;
  std::int64_t save_every_steps = 1000;
  std::int64_t validate_every_steps = 1000;
  std::int64_t keep_last = 3;
  std::int64_t keep_every_steps = 0;
  double ema_decay = 0.0;
  std::int64_t picture_every_steps = 1000;
};

/// A score of the representations while they are learned.
struct EvalOptions {
  std::string probe;
  std::int64_t probe_every_epochs = 1;
  std::int64_t probe_clips = 1000;
};

/// Several processes that train one model, each on its part of every batch.
struct DistributedOptions {
  bool overlap = true;
  double bucket_mb = 25;
  double heartbeat_s = 30;
  double timeout_s = 600;
};

/// Sections `optim`, `train`, `eval` and `distributed`.
void visit(OptimOptions& optim, Visitor& v);
void visit(TrainOptions& train, Visitor& v);
void visit(EvalOptions& eval, Visitor& v);
void visit(DistributedOptions& distributed, Visitor& v);

}  // namespace axlstm::train
