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

void Synthetic::read(std::int64_t clip, const StartOf& start, CropBatch& batch, std::int64_t row) {
  const std::int64_t count = batch.data.size(1), length = std::max(kFrames, count);
  const auto first =
      uniform_below(static_cast<std::uint64_t>(clip), static_cast<std::uint64_t>(kTableValues - length * mels_)) +
      static_cast<std::uint64_t>(start(length, count) * mels_);
  std::copy_n(table_.const_data_ptr<float>() + first, count * mels_,
              batch.data.mutable_data_ptr<float>() + row * count * mels_);
}

torch::Tensor Synthetic::spectrogram(const CropBatch& batch, const torch::Device& device) {
  return batch.data.unsqueeze(1).to(device, /*non_blocking=*/true);
}

}  // namespace axlstm::data
