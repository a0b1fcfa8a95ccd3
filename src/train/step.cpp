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

StepResult training_step(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn, double lr,
                         bool stop) {
  const auto& [objective, optimizer, arithmetic, config, scaler, ranks] = setup;
  const std::int64_t clips = batch.size();
  const auto whole_batch = static_cast<double>(ranks ? config.optim.global_batch : clips);
  const std::int64_t micro = device_batch(config, clips);
  auto& module = objective.module();
  module.zero_grad();
  // The loss, and how many ranks were asked to stop.
  auto totals = torch::zeros({2}, torch::dtype(torch::kFloat64).device(arithmetic.device));
  for (std::int64_t first = 0; first < clips; first += micro) {
    const std::int64_t count = std::min(micro, clips - first);
    const auto loss = loss_of(objective, arithmetic, batch, drawn, first, count);
    const double share = static_cast<double>(count) / whole_batch;  // a batch's loss is the mean of its clips' losses
    const auto part = loss * share;
    if (ranks && first + count == clips) ranks->reducer.begin();
    (scaler ? scaler->scale(part) : part).backward();
    totals[0] += loss.detach() * share;
  }
  if (ranks) {
    if (stop) totals[1] += 1;
    ranks->reducer.finish();
    ranks->group.sum(totals);
  }
  if (scaler) scaler->unscale(module);
  const auto norm = gradient_norm(module).to(torch::kFloat64);
  const auto numbers = torch::cat({totals, norm.reshape({1})}).cpu();  // one wait for all
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
  optimizer.step(lr);
  return result;
}

}  // namespace axlstm::train
