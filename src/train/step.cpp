#include "axlstm/train/step.h"

#include <torch/torch.h>

#include <cmath>

namespace axlstm::train {

std::int64_t device_batch(const config::RunConfig& config, std::int64_t batch) {
  return config.train.device_batch > 0 ? std::min(config.train.device_batch, batch) : batch;
}

torch::Tensor loss_of(objective::Objective& objective, const runtime::Arithmetic& arithmetic, const data::Batch& batch,
                      const torch::Tensor& drawn, std::int64_t first, std::int64_t count) {
  data::Batch part = batch.narrow(first, count);
  part.spectrogram = part.spectrogram.to(arithmetic.device);
  const auto autocast = arithmetic.autocast();
  return objective.loss(part, drawn.narrow(0, first, count).to(arithmetic.device));
}

namespace {

/// Gradients; and [2] float64: the loss, and room for how many ranks were asked to stop.
torch::Tensor forward_backward(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn,
                               Sums sums) {
  const std::int64_t clips = batch.size();
  const auto whole_batch = static_cast<double>(setup.ranks ? setup.config.optim.global_batch : clips);
  const std::int64_t micro = device_batch(setup.config, clips);
  setup.objective.module().zero_grad();
  auto totals = torch::zeros({2}, torch::dtype(torch::kFloat64).device(setup.arithmetic.device));
  for (std::int64_t first = 0; first < clips; first += micro) {
    const std::int64_t count = std::min(micro, clips - first);
    const auto loss = loss_of(setup.objective, setup.arithmetic, batch, drawn, first, count);
    const double share = static_cast<double>(count) / whole_batch;  // a batch's loss is the mean of its clips' losses
    const auto part = loss * share;
    if (setup.ranks && sums == Sums::kOverlapped && first + count == clips) setup.ranks->reducer.begin();
    (setup.scaler ? setup.scaler->scale(part) : part).backward();
    totals[0] += loss.detach() * share;
  }
  return totals;
}

/// Those, and the norm of the gradients, which are then without their scale.
torch::Tensor with_norm(const StepSetup& setup, const torch::Tensor& totals) {
  auto& module = setup.objective.module();
  if (setup.scaler) setup.scaler->unscale(module);
  return torch::cat({totals, gradient_norm(module).to(torch::kFloat64).reshape({1})});
}

}  // namespace

torch::Tensor until_ranks_meet(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn,
                               Sums sums) {
  const auto totals = forward_backward(setup, batch, drawn, sums);
  return setup.ranks ? totals : with_norm(setup, totals);
}

StepResult training_step(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn, double lr,
                         bool stop) {
  const auto& [objective, optimizer, arithmetic, config, scaler, ranks, graph] = setup;
  auto& module = objective.module();
  auto totals = graph ? graph->run(setup, batch, drawn) : until_ranks_meet(setup, batch, drawn);
  if (ranks) {
    if (stop) totals[1] += 1;
    ranks->reducer.finish();
    ranks->group.sum(totals);
    totals = with_norm(setup, totals);
  }
  const auto numbers = totals.cpu();  // one wait for all
  StepResult result{.loss = numbers[0].item<double>(), .grad_norm = numbers[2].item<double>()};
  result.stop = numbers[1].item<double>() > 0;
  if (ranks) result.seconds_communicating = ranks->reducer.seconds_waited();
  // Sums are the same for all ranks, to the last bit, and so is what follows from them.
  result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.grad_norm);
  if (scaler) scaler->update(result.skipped);
  if (result.skipped) return result;
  if (config.optim.clip_grad_norm > 0 && result.grad_norm > config.optim.clip_grad_norm) {
    for (auto& parameter : module.parameters()) {
      if (parameter.grad().defined()) parameter.mutable_grad().mul_(config.optim.clip_grad_norm / result.grad_norm);
    }
  }
  graph ? graph->update(optimizer, lr) : optimizer.step(lr);
  return result;
}

}  // namespace axlstm::train
