#include "axlstm/data/dataset.h"

#include <torch/torch.h>

#include <cmath>

#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/core/random.h"

namespace axlstm::data {

Dataset::Dataset(Manifest manifest, const features::LogMelOptions& log_mel, const DataOptions& options)
    : ClipSource(manifest.source, options.max_bad_fraction),
      manifest_(std::move(manifest)),
      log_mel_(log_mel),
      decoding_{options.min_decoded_fraction},
      cache_bytes_(options.cache_mb << 20) {}

torch::Tensor Dataset::features(std::int64_t clip) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto cached = cache_.find(clip); cached != cache_.end()) return cached->second;
  }
  const torch::NoGradGuard no_grad;
  const Clip source = manifest_.clips[static_cast<std::size_t>(clip)];
  auto decoded = audio::decode_file(source.path, source.segment, decoding_);
  if (!decoded.note.empty()) report_partial(clip, decoded.note);
  auto features = log_mel_(
      features::as_tensor(audio::resample(std::move(decoded), static_cast<int>(log_mel_.options().sample_rate))));
  const auto statistics = features::clip_statistics(features, log_mel_.options().clip_std);
  AXLSTM_CHECK(std::isfinite(statistics.mean) && std::isfinite(statistics.std), source.path.string(),
               ": its spectrogram is not finite; the samples are too large");
  features = features::normalize(features, statistics);
  const auto bytes = static_cast<std::int64_t>(features.nbytes());
  const std::lock_guard lock(mutex_);
  if (cached_bytes_ + bytes <= cache_bytes_ && cache_.emplace(clip, features).second) cached_bytes_ += bytes;
  return features;
}

CropBatch Dataset::allocate(std::int64_t batch, std::int64_t frames, bool pinned) const {
  return {torch::empty({batch, frames, log_mel_.options().mels}, torch::dtype(torch::kFloat32).pinned_memory(pinned)),
          {},
          {},
          {}};
}

void Dataset::read_crop(std::int64_t clip, std::uint64_t seed, CropBatch& batch, std::int64_t row) {
  batch.data[row].copy_(random_crop(features(clip), batch.data.size(1), seed));
}

torch::Tensor Dataset::spectrogram(const CropBatch& batch, const torch::Device& device) {
  return batch.data.unsqueeze(1).to(device, /*non_blocking=*/true);
}

torch::Tensor random_crop(const torch::Tensor& features, std::int64_t frames, std::uint64_t seed) {
  const auto length = features.size(0);
  if (length < frames) return features.repeat({(frames + length - 1) / length, 1}).narrow(0, 0, frames);
  const auto start = uniform_below(seed, static_cast<std::uint64_t>(length - frames + 1));
  return features.narrow(0, static_cast<std::int64_t>(start), frames);
}

}  // namespace axlstm::data
