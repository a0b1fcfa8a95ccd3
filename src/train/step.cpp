#include "axlstm/train/step.h"

#include <torch/torch.h>

#include <cmath>

namespace axlstm::train {

StepResult training_step(model::MaskedModel& model, AdamW& optimizer, const torch::Tensor& spectrogram,
                         const torch::Tensor& noise, double lr, const RunSpec& spec, GradScaler* scaler,
                         const SharedStep* shared) {
  const auto device = model->parameters().front().device();
  const auto dtype = compute_dtype(resolve_precision(spec.train.precision, device));
  const std::int64_t batch = spectrogram.size(0);
  const auto whole_batch = static_cast<double>(shared ? spec.optim.global_batch : batch);
  const std::int64_t micro = spec.train.device_batch > 0 ? std::min(spec.train.device_batch, batch) : batch;
  model->zero_grad();
  // The loss, and how many ranks were asked to stop.
  auto totals = torch::zeros({2}, torch::dtype(torch::kFloat64).device(device));
  for (std::int64_t first = 0; first < batch; first += micro) {
    const std::int64_t count = std::min(micro, batch - first);
    const auto input = spectrogram.narrow(0, first, count).to(device);
    torch::Tensor loss;
    {
      const Autocast autocast(device.type(), dtype, dtype != at::kFloat);
      loss = model->loss(input, noise.narrow(0, first, count).to(device), spec.mask, spec.loss);
    }
    // Every clip has the same number of masked patches, so the share of clips is the share of the mean.
    const double share = static_cast<double>(count) / whole_batch;
    const auto part = loss * share;
    if (shared && first + count == batch) shared->reducer.begin();
    (scaler ? scaler->scale(part) : part).backward();
    totals[0] += loss.detach() * share;
  }
  if (shared) {
    if (shared->stop) totals[1] += 1;
    shared->reducer.finish();
    shared->group.sum(totals);
  }
  if (scaler) scaler->unscale(*model);
  const auto norm = gradient_norm(*model).to(torch::kFloat64);
  const auto numbers = torch::cat({totals, norm.reshape({1})}).cpu();  // one wait for all
  StepResult result{numbers[0].item<double>(), numbers[2].item<double>()};
  result.stop = numbers[1].item<double>() > 0;
  if (shared) result.seconds_communicating = shared->reducer.seconds_waited();
  // Sums are the same for all ranks, to the last bit, and so is what follows from them.
  result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.grad_norm);
  if (scaler) scaler->update(result.skipped);
  if (result.skipped) return result;
  if (spec.optim.clip_grad_norm > 0 && result.grad_norm > spec.optim.clip_grad_norm) {
    for (auto& parameter : model->parameters()) {
      if (parameter.grad().defined()) parameter.mutable_grad().mul_(spec.optim.clip_grad_norm / result.grad_norm);
    }
  }
  optimizer.step(lr);
  return result;
}

}  // namespace axlstm::train
