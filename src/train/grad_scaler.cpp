#include "axlstm/train/grad_scaler.h"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::train {
namespace {

constexpr float kFirstScale = 65536.0F;
constexpr double kGrowth = 2.0, kBackoff = 0.5;
constexpr std::int64_t kGrowthInterval = 2000;

}  // namespace

GradScaler::GradScaler(const torch::Device& device, bool enabled)
    : enabled_(enabled),
      scale_(torch::full({1}, kFirstScale, torch::dtype(torch::kFloat32).device(device))),
      growth_tracker_(torch::zeros({1}, torch::dtype(torch::kInt32).device(device))) {}

torch::Tensor GradScaler::scale(const torch::Tensor& loss) const { return enabled_ ? loss * scale_.squeeze() : loss; }

void GradScaler::unscale(const torch::nn::Module& module) {
  if (!enabled_) return;
  std::vector<torch::Tensor> gradients;
  for (const auto& parameter : module.parameters()) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  auto found_inf = torch::zeros_like(scale_);  // the gradients' norm tells the same
  const torch::NoGradGuard no_grad;
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf, scale_.reciprocal());
}

void GradScaler::update(bool overflow) {
  if (!enabled_) return;
  const auto found_inf = torch::full_like(scale_, overflow ? 1.0 : 0.0);
  at::_amp_update_scale_(scale_, growth_tracker_, found_inf, kGrowth, kBackoff, kGrowthInterval);
}

checkpoints::NamedTensors GradScaler::state() const {
  if (!enabled_) return {};
  return {{"scaler.scale", scale_}, {"scaler.growth_tracker", growth_tracker_}};
}

void GradScaler::load_state(const std::map<std::string, torch::Tensor>& tensors, const std::string& source) {
  for (auto& [name, target] : state()) {
    const auto found = tensors.find(name);
    AXLSTM_CHECK(found != tensors.end(), source, ": the loss scale's state '", name, "' is missing");
    AXLSTM_CHECK(found->second.sizes() == target.sizes(), source, ": the loss scale's state '", name, "' is ",
                 found->second.sizes(), ", ", target.sizes(), " is needed");
    target.copy_(found->second);
  }
}

}  // namespace axlstm::train
