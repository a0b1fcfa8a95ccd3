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
  const auto N = encoder.patches();
  const auto per_patch = by_timestep ? noise.repeat_interleave(encoder.grid_columns(), 1) : noise;
  // The released code's formula; the percentage is rounded to 1e-9 so that a ratio such as 0.8 keeps 20 %, not 19.99…
  const double kept_percent = std::round((100.0 - 100.0 * mask.ratio) * 1e9) / 1e9;
  const auto kept = static_cast<std::int64_t>(static_cast<double>(N) * kept_percent / 100.0);
  const auto order = std::get<1>(per_patch.sort(/*stable=*/true, /*dim=*/1, /*descending=*/false));
  return torch::ones({noise.size(0), N}, noise.options().dtype(torch::kBool))
      .scatter_(1, order.narrow(1, 0, kept), false);
}

}  // namespace axlstm::model
