#include "axlstm/objective/augmentation.h"

#include <torch/torch.h>

namespace axlstm::objective {

torch::Tensor masked(const torch::Tensor& spectrogram, std::int64_t axis, std::int64_t most, const torch::Tensor& u) {
  if (most == 0) return spectrogram;
  const std::int64_t size = spectrogram.size(axis);
  const auto width = (u.select(1, 0) * static_cast<double>(most + 1)).floor();
  const auto first = (u.select(1, 1) * (static_cast<double>(size + 1) - width)).floor();
  const auto place = torch::arange(size, u.options()).unsqueeze(0);
  const auto inside = (place >= first.unsqueeze(1)) & (place < (first + width).unsqueeze(1));  // [B, size]
  std::vector<std::int64_t> shape{spectrogram.size(0), 1, 1, 1};
  shape[static_cast<std::size_t>(axis)] = size;
  return spectrogram.masked_fill(inside.view(shape), 0);
}

torch::Tensor rolled(const torch::Tensor& spectrogram, std::int64_t most, const torch::Tensor& u) {
  if (most == 0) return spectrogram;
  const std::int64_t L = spectrogram.size(2);
  const auto shift = (u * static_cast<double>(2 * most + 1)).floor().to(torch::kInt64) - most;
  const auto source = (torch::arange(L, shift.options()).unsqueeze(0) - shift.unsqueeze(1)).remainder(L);  // [B, L]
  return spectrogram.gather(2, source.view({-1, 1, L, 1}).expand_as(spectrogram));
}

torch::Tensor drop_path_factors(const torch::Tensor& u, double rate, std::int64_t per_block) {
  const std::int64_t branches = u.size(1), blocks = branches / per_block;
  const auto rates = torch::linspace(0, rate, blocks, u.options()).repeat_interleave(per_block);
  return torch::where(u < rates, torch::zeros_like(u), 1 / (1 - rates).expand_as(u)).t();
}

torch::Tensor dropout_factors(const torch::Tensor& u, double rate) {
  return (u >= rate).to(u.scalar_type()) / (1 - rate);
}

}  // namespace axlstm::objective
