#include "axlstm/data/synthetic.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/core/random.h"

namespace axlstm::data {
namespace {

constexpr std::int64_t kTableValues = std::int64_t{1} << 20;
constexpr std::uint64_t kTableSeed = 1;

}  // namespace

Synthetic::Synthetic(std::int64_t clips, const features::LogMelOptions& audio)
    : ClipSource("data.synthetic", /*max_bad_fraction=*/0), clips_(clips), mels_(audio.mels) {
  table_ = torch::randn({kTableValues}, at::make_generator<at::CPUGeneratorImpl>(kTableSeed));
}

CropBatch Synthetic::allocate(std::int64_t batch, std::int64_t frames, bool pinned) const {
  AXLSTM_CHECK(frames * mels_ < kTableValues, "data.synthetic makes crops of up to ", kTableValues / mels_,
               " frames, model.frames is ", frames);
  return {torch::empty({batch, frames, mels_}, torch::dtype(torch::kFloat32).pinned_memory(pinned)), {}, {}, {}};
}

void Synthetic::read_crop(std::int64_t clip, std::uint64_t seed, CropBatch& batch, std::int64_t row) {
  const std::int64_t values = batch.data.size(1) * mels_;
  const auto start = uniform_below(derive_seed({seed, static_cast<std::uint64_t>(clip)}),
                                   static_cast<std::uint64_t>(kTableValues - values));
  std::copy_n(table_.const_data_ptr<float>() + start, values, batch.data.mutable_data_ptr<float>() + row * values);
}

torch::Tensor Synthetic::spectrogram(const CropBatch& batch, const torch::Device& device) {
  return batch.data.unsqueeze(1).to(device, /*non_blocking=*/true);
}

}  // namespace axlstm::data
