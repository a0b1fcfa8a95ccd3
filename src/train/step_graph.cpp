#include "axlstm/train/step_graph.h"

#include <torch/torch.h>

#include <utility>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/train/step.h"

namespace axlstm::train {
namespace {

/// Steps before the recording, in which libraries choose their kernels and take what memory they need.
constexpr std::int64_t kStepsBefore = 3;

}  // namespace

torch::Tensor StepGraph::run(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn) {
  replayed_ = false;  // a step that was skipped had no update
  if (!graph_ && steps_ == kStepsBefore && wanted(setup)) {
    try {
      record(setup, batch, drawn);
    } catch (const c10::Error& failure) {
      const auto why = str("the step could not be recorded as a CUDA graph: ", failure.what_without_backtrace());
      AXLSTM_CHECK(choice_ != CudaGraph::kOn, why, "; set train.cuda_graph=off");
      log::warn(why + "; it goes on without one");
    }
  }
  ++steps_;
  return graph_ && fits(batch, drawn) ? replay(setup, batch, drawn) : until_ranks_meet(setup, batch, drawn);
}

/// Of several ranks only if it is asked for: without it their sums hide behind the backward pass.
bool StepGraph::wanted(const StepSetup& setup) const {
  const auto& device = setup.arithmetic.device;
  if (choice_ == CudaGraph::kOff || !runtime::DeviceGraph::can_record(device)) return false;
  return choice_ == CudaGraph::kOn || (!setup.ranks && runtime::DeviceGraph::has_room(device));
}

bool StepGraph::fits(const data::Batch& batch, const torch::Tensor& drawn) const {
  return batch.spectrogram.sizes() == batch_.spectrogram.sizes() && drawn.sizes() == drawn_.sizes();
}

void StepGraph::record(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn) {
  const auto& device = setup.arithmetic.device;
  batch_ = {
      batch.spectrogram.to(device, batch.spectrogram.scalar_type(), /*non_blocking=*/false, /*copy=*/true), {}, {}};
  drawn_ = drawn.to(device, drawn.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  setup.objective.module().zero_grad();  // so that the graph makes its own
  torch::Tensor totals;
  auto graph = std::make_unique<runtime::DeviceGraph>(
      device, [&] { totals = until_ranks_meet(setup, batch_, drawn_, Sums::kNone); });
  gradients_.clear();
  for (const auto& parameter : setup.objective.module().parameters()) gradients_.push_back(parameter.grad());
  totals_ = std::move(totals);
  // Of several ranks, the reducer puts its sums in the place of the gradients.
  if (!setup.ranks) {
    update_ = std::make_unique<runtime::DeviceGraph>(device, [&] { setup.optimizer.update(); });
  }
  graph_ = std::move(graph);
}

torch::Tensor StepGraph::replay(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn) {
  batch_.spectrogram.copy_(batch.spectrogram, /*non_blocking=*/true);
  drawn_.copy_(drawn, /*non_blocking=*/true);
  graph_->replay();
  std::size_t at = 0;  // others may have put theirs in their place
  for (auto& parameter : setup.objective.module().parameters()) parameter.mutable_grad() = gradients_.at(at++);
  if (setup.ranks) setup.ranks->reducer.begin();
  replayed_ = true;
  return totals_;
}

void StepGraph::update(AdamW& optimizer, double lr) {
  if (!update_ || !std::exchange(replayed_, false)) return optimizer.step(lr);  // the gradients may be elsewhere
  optimizer.set_learning_rate(lr);
  update_->replay();
}

}  // namespace axlstm::train
