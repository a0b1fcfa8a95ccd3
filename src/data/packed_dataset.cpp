#include "axlstm/data/packed_dataset.h"

#include <torch/torch.h>

#include <cstring>
#include <limits>

#include "axlstm/data/packed_clip.h"

namespace axlstm::data {
namespace {

/// Clips whose log-mel deviates less than this are silence; what is left of it would be rounding noise, magnified.
constexpr double kSilence = 1e-5;
constexpr std::int64_t kRowsAtOnce = 256;  // the complex spectra of more would fill gigabytes

/// Samples [first, first + count) of the reflected clip, of which no more than what they need is read.
void read_reflected(const ShardView& clip, std::int64_t first, std::int64_t count, std::int16_t* target) {
  const auto size = static_cast<std::int64_t>(clip.length);
  const auto bytes = [](std::int64_t samples) { return static_cast<std::size_t>(samples) * sizeof *target; };
  const std::int64_t inner_begin = std::clamp<std::int64_t>(-first, 0, count);
  const std::int64_t inner_end = std::clamp<std::int64_t>(size - first, inner_begin, count);
  clip.read(bytes(first + inner_begin), target + inner_begin, bytes(inner_end - inner_begin));
  const auto reflected = [&](std::int64_t n) {
    const std::int64_t source = features::reflect(first + n, size);
    if (source >= first + inner_begin && source < first + inner_end) {
      target[n] = target[source - first];
    } else {  // of a clip shorter than the window
      clip.read(bytes(source), target + n, sizeof *target);
    }
  };
  for (std::int64_t n = 0; n < inner_begin; ++n) reflected(n);
  for (std::int64_t n = inner_end; n < count; ++n) reflected(n);
}

}  // namespace

PackedDataset::PackedDataset(const std::filesystem::path& folder, const features::LogMelOptions& audio,
                             double max_bad_fraction)
    : ClipSource(folder.string(), max_bad_fraction), set_(folder), log_mel_(audio) {
  check_front_end(set_.info(), audio, folder.string());
}

CropBatch PackedDataset::allocate(std::int64_t batch, std::int64_t frames, bool pinned) const {
  const auto room = [&](at::IntArrayRef sizes, at::ScalarType dtype) {
    return torch::empty(sizes, torch::dtype(dtype).pinned_memory(pinned));
  };
  const auto& audio = log_mel_.options();
  return {holds_samples() ? room({batch, (frames - 1) * audio.hop + audio.n_fft}, torch::kInt16)
                          : room({batch, frames, audio.mels}, torch::kFloat16),
          room({batch}, torch::kFloat32), room({batch}, torch::kFloat32), room({batch}, torch::kInt64),
          room({batch}, torch::kFloat32)};
}

void PackedDataset::read(std::int64_t clip, const StartOf& start_of, CropBatch& batch, std::int64_t row) {
  const ShardView view = set_.clip(clip);
  const auto& audio = log_mel_.options();
  const std::int64_t row_values = batch.data.size(1);
  const std::int64_t wanted = holds_samples() ? (row_values - audio.n_fft) / audio.hop + 1 : row_values;
  const std::int64_t length = set_.frames(view), count = std::min(wanted, length);
  const std::int64_t start = start_of(length, count);
  double mean = 0, deviation = 1;
  auto* target = static_cast<char*>(batch.data.data_ptr()) + row * batch.data.stride(0) * batch.data.itemsize();
  if (holds_samples()) {
    auto* samples = reinterpret_cast<std::int16_t*>(target);
    const std::int64_t needed = (count - 1) * audio.hop + audio.n_fft;
    read_reflected(view, start * audio.hop - audio.n_fft / 2, needed, samples);
    std::fill(samples + needed, samples + row_values, std::int16_t{0});
    const double std = deviation_of(view, length, audio);
    mean = view.mean;
    deviation = std < kSilence ? std::numeric_limits<double>::infinity() : std + features::kStdOffset;
  } else {
    const std::size_t frame_bytes = static_cast<std::size_t>(audio.mels) * 2;
    view.read(static_cast<std::size_t>(start) * frame_bytes, target, static_cast<std::size_t>(count) * frame_bytes);
    std::memset(target + static_cast<std::size_t>(count) * frame_bytes, 0,
                static_cast<std::size_t>(wanted - count) * frame_bytes);
    deviation = log_mel_divisor(view, audio);
  }
  batch.mean.data_ptr<float>()[row] = static_cast<float>(mean);
  batch.deviation.data_ptr<float>()[row] = static_cast<float>(deviation);
  batch.frames.data_ptr<std::int64_t>()[row] = count;
  batch.scale.data_ptr<float>()[row] = static_cast<float>(view.scale);
}

torch::Tensor PackedDataset::spectrogram(const CropBatch& batch, const torch::Device& device) {
  const torch::NoGradGuard no_grad;
  const auto on_device = [&](const torch::Tensor& x) { return x.to(device, /*non_blocking=*/true); };
  const auto data = on_device(batch.data);
  torch::Tensor features;  // [B, L, F]
  if (holds_samples()) {
    log_mel_.to(device);
    const auto scale = on_device(batch.scale).unsqueeze(1);
    std::vector<torch::Tensor> parts;
    for (std::int64_t row = 0; row < data.size(0); row += kRowsAtOnce) {
      const auto part = [&](const torch::Tensor& x) {
        return x.narrow(0, row, std::min(kRowsAtOnce, x.size(0) - row));
      };
      parts.push_back(log_mel_.without_padding(part(data).to(torch::kFloat32) * part(scale)));
    }
    features = torch::cat(parts);
  } else {
    features = data.to(torch::kFloat32);
  }
  features = (features - on_device(batch.mean).view({-1, 1, 1})) / on_device(batch.deviation).view({-1, 1, 1});
  const auto L = features.size(1);
  if (batch.frames.min().item<std::int64_t>() < L) {  // tile the short ones
    const auto index = torch::arange(L, device).unsqueeze(0) % on_device(batch.frames).unsqueeze(1);  // [B, L]
    features = features.gather(1, index.unsqueeze(-1).expand_as(features));
  }
  return features.unsqueeze(1);
}

}  // namespace axlstm::data
