#include "axlstm/nn/mamba_block.h"

#include <torch/torch.h>

#include <cmath>

#include "axlstm/nn/options.h"
#include "axlstm/nn/residual_norm.h"

namespace axlstm::nn {
namespace {

/// Steps Δ begin in this range, evenly on a logarithmic scale.
constexpr double kSmallestStep = 0.001, kLargestStep = 0.1, kStepFloor = 1e-4;

torch::nn::Linear linear(std::int64_t in, std::int64_t out, bool bias = false) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

torch::nn::Conv1d depthwise(std::int64_t channels) {
  return torch::nn::Conv1d(torch::nn::Conv1dOptions(channels, channels, kConvKernel).groups(channels));
}

/// softplus of it is a step of the range.
torch::Tensor initial_step_bias(std::int64_t channels) {
  const auto logarithm =
      torch::rand({channels}) * (std::log(kLargestStep) - std::log(kSmallestStep)) + std::log(kSmallestStep);
  const auto step = logarithm.exp().clamp_min(kStepFloor);
  return step + torch::log(-torch::expm1(-step));
}

}  // namespace

MambaMixerImpl::MambaMixerImpl(const MambaBlockOptions& options)
    : backend_(options.backend),
      in_proj_(linear(options.dim, 2 * options.expansion * options.dim)),
      conv1d_(depthwise(options.expansion * options.dim)),
      x_proj_(linear(options.expansion * options.dim, step_rank(options.dim) + 2 * options.state)),
      dt_proj_(linear(step_rank(options.dim), options.expansion * options.dim, /*bias=*/true)),
      out_proj_(linear(options.expansion * options.dim, options.dim)) {
  const std::int64_t I = options.expansion * options.dim;
  const auto rates = torch::arange(1, options.state + 1, torch::kFloat32).log();
  A_log_ = register_parameter("A_log", rates.repeat({I, 1}));
  D_ = register_parameter("D", torch::ones({I}));
  register_module("in_proj", in_proj_);
  register_module("conv1d", conv1d_);
  register_module("x_proj", x_proj_);
  register_module("dt_proj", dt_proj_);
  register_module("out_proj", out_proj_);
  const torch::NoGradGuard no_grad;
  const double bound = 1 / std::sqrt(static_cast<double>(step_rank(options.dim)));
  dt_proj_->weight.uniform_(-bound, bound);
  dt_proj_->bias.copy_(initial_step_bias(I));
  out_proj_->weight.div_(std::sqrt(static_cast<double>(options.depth)));
}

torch::Tensor MambaMixerImpl::forward(const torch::Tensor& u) {
  const auto az = in_proj_->forward(u);
  const auto backend = ops::resolve_mixer_backend(backend_, az.device(), az.scalar_type(), D_.size(0), A_log_.size(1));
  const auto y = ops::mamba_mixer(
      az, {conv1d_->weight, conv1d_->bias, x_proj_->weight, dt_proj_->weight, dt_proj_->bias, A_log_, D_}, backend);
  return out_proj_->forward(y);
}

MambaBlockImpl::MambaBlockImpl(const MambaBlockOptions& options)
    : backend_(options.backend), norm_(torch::nn::LayerNormOptions({options.dim}).eps(1e-6)), mixer_(options) {
  register_module("norm", norm_);
  register_module("mixer", mixer_);
}

ops::ResidualStream MambaBlockImpl::forward(const ops::ResidualStream& stream) {
  const auto [x, u] = residual_norm(stream, norm_, backend_);
  return {x, mixer_->forward(u)};
}

}  // namespace axlstm::nn
