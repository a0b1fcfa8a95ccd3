#include "axlstm/data/dataset.h"

#include <torch/torch.h>

#include <algorithm>

#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"

namespace axlstm::data {
namespace {

/// `frames` frames out of fewer, by repeating them.
torch::Tensor tiled(const torch::Tensor& features, std::int64_t frames) {
  const auto length = features.size(0);
  if (length == frames) return features;
  return features.repeat({(frames + length - 1) / length, 1}).narrow(0, 0, frames);
}

}  // namespace

Dataset::Dataset(Manifest manifest, const features::LogMelOptions& log_mel, const DataOptions& options,
                 double long_seconds)
    : ClipSource(manifest.source, options.max_bad_fraction),
      manifest_(std::move(manifest)),
      log_mel_(log_mel),
      decoding_{options.min_decoded_fraction},
      cache_bytes_(options.cache_mb << 20),
      long_seconds_(long_seconds) {}

audio::Recording Dataset::recording(std::int64_t clip) const {
  const Clip source = manifest_.clips[static_cast<std::size_t>(clip)];
  return {.path = source.path, .segment = source.segment, .decoding = decoding_};
}

torch::Tensor Dataset::cached(std::int64_t clip) {
  const std::lock_guard lock(mutex_);
  const auto found = cache_.find(clip);
  return found == cache_.end() ? torch::Tensor() : found->second;
}

bool Dataset::reserve(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (cached_bytes_ + bytes > cache_bytes_) return false;
  cached_bytes_ += bytes;
  return true;
}

torch::Tensor Dataset::features(std::int64_t clip) {
  if (auto found = cached(clip); found.defined()) return found;
  if (find_survey(clip).valid()) {
    survey(clip);  // waits for who reads it
    return cached(clip);
  }
  const torch::NoGradGuard no_grad;
  const audio::Recording source = recording(clip);
  auto decoded = audio::decode_unless_long(source, long_seconds_);
  if (!decoded) {
    survey(clip);
    return cached(clip);
  }
  if (!decoded->note.empty()) report_partial(clip, decoded->note);
  auto features = log_mel_(
      features::as_tensor(audio::resample(std::move(*decoded), static_cast<int>(log_mel_.options().sample_rate))));
  const auto statistics = features::clip_statistics(features, log_mel_.options().clip_std);
  features::check_statistics(statistics, source.path.string());
  features = features::normalize(features, statistics);
  const auto bytes = static_cast<std::int64_t>(features.nbytes());
  const std::lock_guard lock(mutex_);
  if (cached_bytes_ + bytes <= cache_bytes_ && cache_.emplace(clip, features).second) cached_bytes_ += bytes;
  return features;
}

std::shared_future<features::ClipSurvey> Dataset::find_survey(std::int64_t clip) {
  const std::lock_guard lock(mutex_);
  const auto found = surveys_.find(clip);
  return found == surveys_.end() ? std::shared_future<features::ClipSurvey>() : found->second;
}

/// Of a long clip: the first thread that asks reads all of it, others wait. One that cannot be used is read again.
features::ClipSurvey Dataset::survey(std::int64_t clip) {
  std::promise<features::ClipSurvey> promise;
  std::shared_future<features::ClipSurvey> known;
  {
    const std::lock_guard lock(mutex_);
    const auto [place, is_first] = surveys_.try_emplace(clip);
    if (is_first) {
      place->second = promise.get_future().share();
    } else {
      known = place->second;
    }
  }
  if (known.valid()) return known.get();
  try {
    auto found = read_survey(clip);
    promise.set_value(found);
    return found;
  } catch (...) {
    promise.set_exception(std::current_exception());
    const std::lock_guard lock(mutex_);
    surveys_.erase(clip);
    throw;
  }
}

/// Fills the cache, too, if there is room for all of the clip.
features::ClipSurvey Dataset::read_survey(std::int64_t clip) {
  const torch::NoGradGuard no_grad;
  const audio::Recording source = recording(clip);
  auto found = features::survey(source, log_mel_, torch::kCPU, log_mel_.options().clip_std);
  if (!found.note.empty()) report_partial(clip, found.note);
  const auto mels = log_mel_.options().mels;
  const auto bytes = found.frames * mels * static_cast<std::int64_t>(sizeof(float));
  if (!reserve(bytes)) return found;
  try {
    const auto all = torch::empty({found.frames, mels});
    std::int64_t first = 0;
    audio::ClipReader reader(source, static_cast<int>(log_mel_.options().sample_rate));
    features::for_each_log_mel(reader, log_mel_, torch::kCPU, [&](const torch::Tensor& frames) {
      AXLSTM_CHECK(first + frames.size(0) <= found.frames, source.path.string(), ": changed while it was read");
      all.narrow(0, first, frames.size(0)).copy_(features::normalize(frames, found.statistics));
      first += frames.size(0);
    });
    AXLSTM_CHECK(first == found.frames, source.path.string(), ": changed while it was read");
    const std::lock_guard lock(mutex_);
    cache_.emplace(clip, all);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    cached_bytes_ -= bytes;
    throw;
  }
  return found;
}

CropBatch Dataset::allocate(std::int64_t batch, std::int64_t frames, bool pinned) const {
  return {torch::empty({batch, frames, log_mel_.options().mels}, torch::dtype(torch::kFloat32).pinned_memory(pinned)),
          {},
          {},
          {}};
}

/// From memory if it was asked for before.
std::int64_t Dataset::frames(std::int64_t clip) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = frames_.find(clip); known != frames_.end()) return known->second;
  }
  const auto whole = features(clip);
  const std::int64_t count = whole.defined() ? whole.size(0) : survey(clip).frames;
  const std::lock_guard lock(mutex_);
  frames_[clip] = count;
  return count;
}

torch::Tensor Dataset::crop(std::int64_t clip, std::int64_t frames, const StartOf& start) {
  if (const auto whole = features(clip); whole.defined()) return crop_of(whole, frames, start);
  const torch::NoGradGuard no_grad;
  const auto known = survey(clip);
  const auto count = std::min(frames, known.frames), first = count < frames ? 0 : start(known.frames, frames);
  const auto part = features::read_log_mel(recording(clip), known, log_mel_, first, count);
  return tiled(features::normalize(part, known.statistics), frames);
}

void Dataset::read(std::int64_t clip, const StartOf& start, CropBatch& batch, std::int64_t row) {
  batch.data[row].copy_(crop(clip, batch.data.size(1), start));
}

torch::Tensor Dataset::spectrogram(const CropBatch& batch, const torch::Device& device) {
  return batch.data.unsqueeze(1).to(device, /*non_blocking=*/true);
}

torch::Tensor crop_of(const torch::Tensor& features, std::int64_t count, const ClipSource::StartOf& start) {
  const auto length = features.size(0);
  return length < count ? tiled(features, count) : features.narrow(0, start(length, count), count);
}

}  // namespace axlstm::data
