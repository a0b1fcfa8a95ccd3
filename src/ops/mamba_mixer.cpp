#include "axlstm/ops/mamba_mixer.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/selective_scan.h"
#include "scan_backends.h"

namespace axlstm::ops {

Backend resolve_mixer_backend(Backend wanted, const torch::Device& device, torch::ScalarType dtype, std::int64_t width,
                              std::int64_t states) {
  if (wanted == Backend::kReference || wanted == Backend::kRecurrent) return wanted;
  const std::string obstacle = scan_kernel_obstacle(device, dtype, width, states);
  if (wanted == Backend::kAuto) return obstacle.empty() ? Backend::kFused : Backend::kReference;
  if (!obstacle.empty()) {
    throw UsageError(
        str("kernel.backend ", enum_name(wanted), " cannot be used: ", obstacle, "; set kernel.backend=auto"));
  }
  return wanted;
}

torch::Tensor mamba_mixer(const torch::Tensor& az, const MixerWeights& weights, Backend backend) {
  const std::int64_t I = weights.D.size(0), N = weights.A_log.size(1), R = weights.dt_proj_weight.size(1);
  if (backend == Backend::kFused) return (az.is_cpu() ? mamba_mixer_cpu : mamba_mixer_cuda)(az, weights);
  const auto halves = az.chunk(2, -1);
  const std::int64_t taps = weights.conv_weight.size(-1);
  const auto padded = torch::constant_pad_nd(halves[0].transpose(1, 2), {taps - 1, 0});
  const auto convolved = torch::conv1d(padded, weights.conv_weight, weights.conv_bias, /*stride=*/at::IntArrayRef{1},
                                       /*padding=*/at::IntArrayRef{0}, /*dilation=*/at::IntArrayRef{1}, /*groups=*/I);
  const auto c = torch::silu(convolved).transpose(1, 2);
  const auto parts = torch::linear(c, weights.x_proj).split_with_sizes({R, N, N}, -1);
  const auto delta = torch::linear(parts[0], weights.dt_proj_weight);
  const auto A = -weights.A_log.exp();
  return selective_scan({c, delta, A, parts[1], parts[2], weights.D, halves[1], weights.dt_proj_bias}, backend);
}

}  // namespace axlstm::ops
