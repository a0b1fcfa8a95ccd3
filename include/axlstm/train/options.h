// The recipe and the running of a pre-training; plain values, whose meaning is in their visit.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "axlstm/core/visitor.h"
#include "axlstm/runtime/options.h"

namespace axlstm::train {

/// Which parameters decay: kMatrices all but biases and one-dimensional ones; kAll all.
enum class Decay { kMatrices, kAll };
constexpr auto enum_names(Decay) { return std::array{"matrices", "all"}; }

/// Whether a step's forward and backward pass is recorded as a CUDA graph; kAuto: on one GPU with memory for it.
enum class CudaGraph { kAuto, kOn, kOff };
constexpr auto enum_names(CudaGraph) { return std::array{"auto", "on", "off"}; }

struct OptimOptions {
  double base_lr = 1.5e-4;
  std::int64_t global_batch = 1024;
  double epochs = 100;
  double warmup_epochs = 10;
  double weight_decay = 0.05;
  Decay decay = Decay::kMatrices;
  bool decay_A_log = true;
  double layer_decay = 1.0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double clip_grad_norm = 0.0;
};

struct TrainOptions {
  std::string run_dir = "runs/axlstm";
  runtime::DeviceChoice device = runtime::DeviceChoice::kAuto;
  runtime::Precision precision = runtime::Precision::kAuto;
  bool deterministic = false;
  std::int64_t seed = 0;
  std::int64_t threads = 0;
  std::int64_t device_batch = 0;
  CudaGraph cuda_graph = CudaGraph::kAuto;
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

/// What tells which checkpoint of a classifier is the best; kAuto: accuracy of multiclass targets, else mAP.
enum class Metric { kAuto, kMap, kAccuracy, kAuc, kDPrime, kLoss };
constexpr auto enum_names(Metric) { return std::array{"auto", "mAP", "accuracy", "AUC", "d_prime", "loss"}; }

/// Scores while a model is trained.
struct EvalOptions {
  std::string probe;
  std::int64_t probe_every_epochs = 1;
  std::int64_t probe_clips = 1000;
  std::int64_t every_epochs = 1;
  Metric metric = Metric::kAuto;
  std::int64_t patience = 0;
  std::int64_t resamples = 1000;
};

/// Sections `optim`, `train` and `eval`.
void visit(OptimOptions& optim, Visitor& v);
void visit(TrainOptions& train, Visitor& v);
void visit(EvalOptions& eval, Visitor& v);

}  // namespace axlstm::train
