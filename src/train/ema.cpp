#include "axlstm/train/ema.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::train {

Ema::Ema(const torch::nn::Module& module, double decay) : decay_(decay) {
  if (!enabled()) return;
  for (const auto& item : module.named_parameters()) {
    names_.push_back(item.key());
    weights_.push_back(item.value().detach());
    averages_.push_back(item.value().detach().clone());
  }
  for (const auto& item : module.named_buffers()) buffers_.emplace_back(item.key(), item.value());
}

void Ema::update() {
  if (!enabled()) return;
  const torch::NoGradGuard no_grad;
  at::_foreach_lerp_(averages_, weights_, 1 - decay_);
}

void Ema::swap() {
  const torch::NoGradGuard no_grad;
  for (std::size_t n = 0; n < names_.size(); ++n) {
    const auto weight = weights_[n].clone();
    weights_[n].copy_(averages_[n]);
    averages_[n].copy_(weight);
  }
}

checkpoints::NamedTensors Ema::state() const {
  checkpoints::NamedTensors tensors;
  for (std::size_t n = 0; n < names_.size(); ++n) tensors.emplace_back(names_[n], averages_[n]);
  tensors.insert(tensors.end(), buffers_.begin(), buffers_.end());
  return tensors;
}

void Ema::load_state(const std::map<std::string, torch::Tensor>& tensors, const std::string& source) {
  for (std::size_t n = 0; n < names_.size(); ++n) {
    const auto found = tensors.find(names_[n]);
    AXLSTM_CHECK(found != tensors.end(), source, ": the average of '", names_[n],
                 "' is missing; was train.ema_decay off before?");
    AXLSTM_CHECK(found->second.sizes() == averages_[n].sizes(), source, ": the average of '", names_[n], "' is ",
                 found->second.sizes(), ", the model needs ", averages_[n].sizes());
    averages_[n].copy_(found->second);
  }
}

}  // namespace axlstm::train
