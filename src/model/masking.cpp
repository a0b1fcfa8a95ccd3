#include "axlstm/model/masking.h"

#include <torch/torch.h>

#include <cmath>

#include "axlstm/core/error.h"

namespace axlstm::model {

torch::Tensor draw_mask_noise(std::int64_t batch, const EncoderOptions& encoder, const MaskOptions& mask,
                              torch::Generator generator) {
  const auto numbers = mask.mode == MaskMode::kTimestep ? encoder.grid_rows() : encoder.patches();
  return torch::rand({batch, numbers}, std::move(generator));
}

torch::Tensor mask_from_noise(const torch::Tensor& noise, const EncoderOptions& encoder, const MaskOptions& mask) {
  const bool by_timestep = mask.mode == MaskMode::kTimestep;
  const auto expected = by_timestep ? encoder.grid_rows() : encoder.patches();
  AXLSTM_CHECK(noise.dim() == 2 && noise.size(1) == expected, "mask noise must be [batch, ", expected, "], got ",
               noise.sizes());
  const auto N = encoder.patches(), kept = N - masked_patches(encoder, mask);
  const auto per_patch = by_timestep ? noise.repeat_interleave(encoder.grid_columns(), 1) : noise;
  const auto order = std::get<1>(per_patch.sort(/*stable=*/true, /*dim=*/1, /*descending=*/false));
  return torch::ones({noise.size(0), N}, noise.options().dtype(torch::kBool))
      .scatter_(1, order.narrow(1, 0, kept), false);
}

std::int64_t masked_patches(const EncoderOptions& encoder, const MaskOptions& mask) {
  // The released code's formula; the percentage is rounded to 1e-9 so that a ratio such as 0.8 keeps 20 %, not 19.99…
  const double kept_percent = std::round((100.0 - 100.0 * mask.ratio) * 1e9) / 1e9;
  return encoder.patches() - static_cast<std::int64_t>(static_cast<double>(encoder.patches()) * kept_percent / 100.0);
}

torch::Tensor masked_rows(const torch::Tensor& mask, std::int64_t masked) {
  const auto B = mask.size(0), N = mask.size(1);
  const auto patches = mask.to(torch::kUInt8).argsort(/*stable=*/true, /*dim=*/1, /*descending=*/true);
  const auto first = torch::arange(B, patches.options()).unsqueeze(1) * N;
  return (patches.narrow(1, 0, masked) + first).flatten();
}

}  // namespace axlstm::model
