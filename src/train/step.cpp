#include "axlstm/train/step.h"

#include <torch/torch.h>

#include <cmath>

namespace axlstm::train {
namespace {

/// Mean loss [] of `count` clips from `first` on. One function for the step and for trying what fits.
torch::Tensor loss_of(model::MaskedModel& model, const torch::Tensor& spectrogram, const torch::Tensor& noise,
                      std::int64_t first, std::int64_t count, const RunSpec& spec) {
  const auto device = model->parameters().front().device();
  const auto dtype = compute_dtype(resolve_precision(spec.train.precision, device));
  const auto input = spectrogram.narrow(0, first, count).to(device);
  const Autocast autocast(device.type(), dtype, dtype != at::kFloat);
  return model->loss(input, noise.narrow(0, first, count).to(device), spec.mask, spec.loss);
}

}  // namespace

std::int64_t device_batch(const RunSpec& spec, std::int64_t batch) {
  return spec.train.device_batch > 0 ? std::min(spec.train.device_batch, batch) : batch;
}

std::int64_t largest_fitting_batch(model::MaskedModel& model, const torch::Tensor& spectrogram,
                                   const torch::Tensor& noise, const RunSpec& spec) {
  for (std::int64_t count = device_batch(spec, spectrogram.size(0)) / 2; count > 0; count /= 2) {
    try {
      loss_of(model, spectrogram, noise, 0, count, spec).backward();
      return count;
    } catch (const c10::OutOfMemoryError&) {  // half as many
    }
  }
  return 0;
}

StepResult training_step(model::MaskedModel& model, AdamW& optimizer, const torch::Tensor& spectrogram,
                         const torch::Tensor& noise, double lr, const RunSpec& spec, GradScaler* scaler,
                         const SharedStep* shared) {
  const auto device = model->parameters().front().device();
  const std::int64_t batch = spectrogram.size(0);
  const auto whole_batch = static_cast<double>(shared ? spec.optim.global_batch : batch);
  const std::int64_t micro = device_batch(spec, batch);
  model->zero_grad();
  // The loss, and how many ranks were asked to stop.
  auto totals = torch::zeros({2}, torch::dtype(torch::kFloat64).device(device));
  for (std::int64_t first = 0; first < batch; first += micro) {
    const std::int64_t count = std::min(micro, batch - first);
    const auto loss = loss_of(model, spectrogram, noise, first, count, spec);
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
