#include "axlstm/distributed/gradient_reducer.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/torch.h>

#include <algorithm>

#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"

namespace axlstm::distributed {

struct GradientReducer::Hook final : torch::autograd::PostAccumulateGradHook {
  Hook(GradientReducer& reducer, std::size_t bucket) : reducer_(reducer), bucket_(bucket) {}
  void operator()(const torch::autograd::Variable&) override { reducer_.ready(bucket_); }

  GradientReducer& reducer_;
  std::size_t bucket_;
};

GradientReducer::GradientReducer(const torch::nn::Module& module, ProcessGroup& group,
                                 const DistributedOptions& options)
    : group_(group), overlap_(options.overlap) {
  const auto capacity = static_cast<std::int64_t>(options.bucket_mb * (1 << 20) / sizeof(float));
  auto parameters = module.parameters();
  std::erase_if(parameters, [](const torch::Tensor& parameter) { return !parameter.requires_grad(); });
  std::reverse(parameters.begin(), parameters.end());
  std::int64_t size = 0;
  for (const auto& parameter : parameters) {
    AXLSTM_CHECK(parameter.scalar_type() == torch::kFloat32, "gradient reducer: a parameter is ",
                 parameter.scalar_type(), ", float32 is needed");
    if (buckets_.empty() || size + parameter.numel() > capacity) {
      buckets_.emplace_back();
      size = 0;
    }
    buckets_.back().parameters.push_back(parameter);
    size += parameter.numel();
  }
  for (std::size_t index = 0; index < buckets_.size(); ++index) {
    Bucket& bucket = buckets_[index];
    std::int64_t total = 0;
    for (const auto& parameter : bucket.parameters) total += parameter.numel();
    bucket.flat = torch::zeros({total}, torch::dtype(torch::kFloat32).device(group.device()));
    std::int64_t first = 0;
    for (const auto& parameter : bucket.parameters) {
      bucket.views.push_back(bucket.flat.narrow(0, first, parameter.numel()).view(parameter.sizes()));
      first += parameter.numel();
      torch::autograd::impl::set_post_acc_grad_hooks(parameter, std::make_unique<Hook>(*this, index));
    }
  }
  if (group.device().is_cuda()) {
    before_.emplace(torch::kCUDA, c10::EventFlag::BACKEND_DEFAULT);  // the flag: with times
    after_.emplace(torch::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
  }
}

GradientReducer::~GradientReducer() {
  for (const Bucket& bucket : buckets_) {
    for (const auto& parameter : bucket.parameters) torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void GradientReducer::begin() {
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
  next_ = 0;
  active_ = true;
}

void GradientReducer::ready(std::size_t bucket) {
  if (!active_ || --buckets_[bucket].missing > 0 || !overlap_) return;
  while (next_ < buckets_.size() && buckets_[next_].missing == 0) start(buckets_[next_++]);
}

void GradientReducer::start(Bucket& bucket) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> views, gradients;
  for (std::size_t n = 0; n < bucket.parameters.size(); ++n) {
    const auto& gradient = bucket.parameters[n].grad();
    if (gradient.defined()) {
      views.push_back(bucket.views[n]);
      gradients.push_back(gradient);
    } else {
      bucket.views[n].zero_();
    }
  }
  if (!views.empty()) at::_foreach_copy_(views, gradients);
  bucket.wait = group_.start_sum(bucket.flat);
}

void GradientReducer::finish() {
  active_ = false;
  while (next_ < buckets_.size()) start(buckets_[next_++]);
  const auto start = std::chrono::steady_clock::now();
  const auto record = [&](std::optional<c10::Event>& event) {
    if (event) event->record(c10::impl::VirtualGuardImpl(torch::kCUDA).getStream(group_.device()));
  };
  record(before_);
  for (Bucket& bucket : buckets_) {
    bucket.wait();
    bucket.wait = nullptr;
    for (std::size_t n = 0; n < bucket.parameters.size(); ++n) bucket.parameters[n].mutable_grad() = bucket.views[n];
  }
  record(after_);
  seconds_waited_ = seconds_since(start);
}

double GradientReducer::seconds_waited() const {
  return before_ ? before_->elapsedTime(*after_) / 1000 : seconds_waited_;
}

}  // namespace axlstm::distributed
