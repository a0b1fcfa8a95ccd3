#include "axlstm/train/optim.h"

#include <torch/torch.h>

#include <charconv>
#include <cmath>
#include <numbers>
#include <optional>

#include "axlstm/core/error.h"

namespace axlstm::train {
namespace {

/// 3 of "blocks.3.norm.weight"; nothing of other names.
std::optional<std::int64_t> block_of(const std::string& parameter) {
  constexpr std::string_view kPrefix = "blocks.";
  if (!parameter.starts_with(kPrefix)) return std::nullopt;
  std::int64_t block = 0;
  std::from_chars(parameter.data() + kPrefix.size(), parameter.data() + parameter.size(), block);
  return block;
}

}  // namespace

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

double layer_scale(const std::string& parameter, std::int64_t depth, double decay) {
  std::int64_t layer = depth + 1;
  for (const char* prefix : {"patch_embed.", "cls_token", "mask_token", "pos_embed"})
    if (parameter.starts_with(prefix)) layer = 0;
  if (const auto block = block_of(parameter)) layer = *block + 1;
  return std::pow(decay, static_cast<double>(depth + 1 - layer));
}

AdamW::AdamW(const torch::nn::Module& module, const OptimOptions& options) : options_(options) {
  bool has_A_log = false;
  std::int64_t depth = 0;
  for (const auto& item : module.named_parameters()) depth = std::max(depth, block_of(item.key()).value_or(-1) + 1);
  for (const auto& item : module.named_parameters()) {
    const auto& parameter = item.value();
    const bool is_A_log = item.key().ends_with(".A_log");
    has_A_log |= is_A_log;
    if (!parameter.requires_grad()) continue;
    Slot slot{item.key(), parameter, torch::zeros_like(parameter), torch::zeros_like(parameter),
              torch::zeros({}, parameter.options().dtype(torch::kFloat32).requires_grad(false))};
    const bool decays = options.decay == Decay::kAll || parameter.dim() > 1;
    Group& own = group(decays && (options.decay_A_log || !is_A_log) ? options.weight_decay : 0.0,
                       layer_scale(item.key(), depth, options.layer_decay));
    if (parameter.is_cuda() && !own.device_lr.defined()) own.device_lr = torch::zeros_like(slot.step);
    own.slots.push_back(std::move(slot));
  }
  need(options.decay_A_log || has_A_log,
       "optim.decay_A_log is false, but the model has no A_log; remove it, or set model.arch=ssam");
}

AdamW::Group& AdamW::group(double weight_decay, double lr_scale) {
  for (Group& known : groups_)
    if (known.weight_decay == weight_decay && known.lr_scale == lr_scale) return known;
  return groups_.emplace_back(Group{weight_decay, lr_scale, {}, {}});
}

void AdamW::step(double lr) {
  set_learning_rate(lr);
  update();
}

void AdamW::set_learning_rate(double lr) {
  lr_ = lr;
  for (Group& each : groups_)
    if (each.device_lr.defined()) each.device_lr.fill_(lr * each.lr_scale);
}

void AdamW::update() {
  const torch::NoGradGuard no_grad;
  for (const Group& each : groups_) update(each);
}

void AdamW::update(const Group& group) {
  std::vector<torch::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, steps;
  for (const Slot& slot : group.slots) {
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
                      options_.beta2, group.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  };
  if (!group.device_lr.defined()) return adamw(lr_ * group.lr_scale);
  adamw(group.device_lr);
}

checkpoints::NamedTensors AdamW::state() const {
  checkpoints::NamedTensors tensors;
  for (const Group& each : groups_) {
    for (const Slot& slot : each.slots) {
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
