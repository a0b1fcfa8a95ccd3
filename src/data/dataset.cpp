#include "axlstm/data/dataset.h"

#include <torch/torch.h>

#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"

namespace axlstm::data {

Dataset::Dataset(Manifest manifest, const audio::LogMelOptions& log_mel, const DataOptions& options)
    : manifest_(std::move(manifest)), log_mel_(log_mel), options_(options) {}

torch::Tensor load_waveform(const Clip& clip, std::int64_t sample_rate) {
  const auto wave = audio::resample(audio::decode_file(clip.path, clip.segment), static_cast<int>(sample_rate));
  return torch::tensor(wave.samples);
}

torch::Tensor Dataset::features(std::int64_t index) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto cached = cache_.find(index); cached != cache_.end()) return cached->second;
  }
  const torch::NoGradGuard no_grad;
  const auto log_mel = log_mel_(load_waveform(clip(index), log_mel_.options().sample_rate));
  const auto features = audio::normalize(log_mel, audio::clip_statistics(log_mel, log_mel_.options().clip_std));
  const std::lock_guard lock(mutex_);
  if (cached_bytes_ + features.nbytes() <= static_cast<std::size_t>(options_.cache_mb) << 20) {
    if (cache_.emplace(index, features).second) cached_bytes_ += features.nbytes();
  }
  return features;
}

void Dataset::report_bad(std::int64_t index, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (!bad_.insert(index).second) return;
  log::warn(str("skipped: ", reason, " (", bad_.size(), " bad of ", size(), " clips)"));
  const auto allowed = options_.max_bad_fraction * static_cast<double>(size());
  AXLSTM_CHECK(static_cast<double>(bad_.size()) <= allowed, bad_.size(), " of ", size(), " clips of ", manifest_.source,
               " cannot be used, data.max_bad_fraction allows ", options_.max_bad_fraction, "; the last: ", reason);
}

std::int64_t Dataset::bad_count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(bad_.size());
}

torch::Tensor random_crop(const torch::Tensor& features, std::int64_t frames, std::uint64_t seed) {
  const auto length = features.size(0);
  if (length < frames) return features.repeat({(frames + length - 1) / length, 1}).narrow(0, 0, frames);
  const auto start = uniform_below(seed, static_cast<std::uint64_t>(length - frames + 1));
  return features.narrow(0, static_cast<std::int64_t>(start), frames);
}

}  // namespace axlstm::data
