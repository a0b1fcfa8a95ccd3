#include "axlstm/train/optim.h"

#include <torch/torch.h>

#include <cmath>
#include <numbers>

#include "axlstm/core/error.h"

namespace axlstm::train {

double peak_learning_rate(const OptimOptions& options) {
  return options.base_lr * static_cast<double>(options.global_batch) / 256.0;
}

double learning_rate(const OptimOptions& options, double epoch) {
  const double peak = peak_learning_rate(options);
  if (epoch < options.warmup_epochs) return peak * epoch / options.warmup_epochs;
  const double length = options.epochs - options.warmup_epochs;
  const double progress = length > 0 ? std::min((epoch - options.warmup_epochs) / length, 1.0) : 1.0;
  return peak * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

torch::Tensor gradient_norm(const torch::nn::Module& module) {
  std::vector<torch::Tensor> gradients;
  for (const auto& parameter : module.parameters()) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  AXLSTM_CHECK(!gradients.empty(), "gradient norm: no parameter has a gradient");
  return torch::stack(at::_foreach_norm(gradients, 2)).norm();
}

AdamW::AdamW(const torch::nn::Module& module, const OptimOptions& options) : options_(options) {
  bool has_A_log = false;
  for (const auto& item : module.named_parameters()) {
    const auto& parameter = item.value();
    Slot slot{item.key(), parameter, torch::zeros_like(parameter), torch::zeros_like(parameter),
              torch::zeros({}, parameter.options().dtype(torch::kFloat32).requires_grad(false))};
    if (parameter.is_cuda() && !device_lr_.defined()) device_lr_ = torch::zeros_like(slot.step);
    const bool is_A_log = item.key().ends_with(".A_log");
    has_A_log |= is_A_log;
    const bool decays = options.decay == Decay::kAll || parameter.dim() > 1;
    (decays && (options.decay_A_log || !is_A_log) ? decayed_ : plain_).push_back(std::move(slot));
  }
  need(options.decay_A_log || has_A_log,
       "optim.decay_A_log is false, but the model has no A_log; remove it, or set model.arch=ssam");
}

void AdamW::step(double lr) {
  set_learning_rate(lr);
  update();
}

void AdamW::set_learning_rate(double lr) {
  lr_ = lr;
  if (device_lr_.defined()) device_lr_.fill_(lr);
}

void AdamW::update() {
  const torch::NoGradGuard no_grad;
  update(decayed_, options_.weight_decay);
  update(plain_, 0.0);
}

void AdamW::update(const std::vector<Slot>& slots, double weight_decay) {
  std::vector<torch::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, steps;
  for (const Slot& slot : slots) {
    if (!slot.parameter.grad().defined()) continue;
    parameters.push_back(slot.parameter);
    gradients.push_back(slot.parameter.grad());
    exp_avgs.push_back(slot.exp_avg);
    exp_avg_sqs.push_back(slot.exp_avg_sq);
    steps.push_back(slot.step);
  }
  if (parameters.empty()) return;
  at::_foreach_add_(steps, 1);
  const auto adamw = [&](const auto& lr) {
    at::_fused_adamw_(parameters, gradients, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps, lr, options_.beta1,
                      options_.beta2, weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  };
  if (!device_lr_.defined()) return adamw(lr_);
  adamw(device_lr_);
}

checkpoints::NamedTensors AdamW::state() const {
  checkpoints::NamedTensors tensors;
  for (const auto* group : {&decayed_, &plain_}) {
    for (const Slot& slot : *group) {
      tensors.emplace_back("exp_avg." + slot.name, slot.exp_avg);
      tensors.emplace_back("exp_avg_sq." + slot.name, slot.exp_avg_sq);
      tensors.emplace_back("step." + slot.name, slot.step);
    }
  }
  return tensors;
}

void AdamW::load_state(const std::map<std::string, torch::Tensor>& tensors, const std::string& source) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, target] : state()) {
    const auto found = tensors.find(name);
    AXLSTM_CHECK(found != tensors.end(), source, ": optimiser state '", name, "' is missing");
    AXLSTM_CHECK(found->second.sizes() == target.sizes(), source, ": optimiser state '", name, "' is ",
                 found->second.sizes(), ", the model needs ", target.sizes());
    target.copy_(found->second);
  }
}

}  // namespace axlstm::train
