#include "axlstm/data/mixing.h"

#include <torch/torch.h>

#include "axlstm/core/random.h"

namespace axlstm::data {

float Mixing::share(std::uint64_t seed) const {
  const torch::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  if (torch::rand({1}, generator, torch::kFloat64).item<double>() >= probability) return 1.0F;
  // Beta(α, α) is X / (X + Y) of two that are distributed as Gamma(α).
  const auto gammas = at::_standard_gamma(torch::full({2}, alpha, torch::kFloat64), generator);
  return static_cast<float>((gammas[0] / gammas.sum()).item<double>());
}

void clear(CropBatch& crops, std::int64_t row, std::int64_t frames) {
  crops.data[row].zero_();
  if (crops.mean.defined()) crops.mean[row].zero_();
  if (crops.deviation.defined()) crops.deviation[row].fill_(1);
  if (crops.frames.defined()) crops.frames[row].fill_(frames);
  if (crops.scale.defined()) crops.scale[row].fill_(1);
}

void mix(Batch& batch, const std::vector<float>& shares) {
  const auto rows = static_cast<std::int64_t>(shares.size());
  const auto first = batch.spectrogram.narrow(0, 0, rows), second = batch.spectrogram.narrow(0, rows, rows);
  batch.share = torch::tensor(shares);
  const auto share = batch.share.to(first.device()).view({-1, 1, 1, 1});
  batch.spectrogram = torch::where(share == 1, first, share * first + (1 - share) * second);
  batch.mixed_in.assign(batch.clips.begin() + rows, batch.clips.end());
  batch.clips.resize(shares.size());
}

}  // namespace axlstm::data
