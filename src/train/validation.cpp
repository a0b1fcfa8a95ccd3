#include "axlstm/train/validation.h"

#include <torch/torch.h>

#include <mutex>
#include <numeric>
#include <set>

#include "axlstm/core/error.h"
#include "axlstm/core/random.h"

namespace axlstm::train {
namespace {

constexpr std::int64_t kMaxBatch = 256;

}  // namespace

Validation::Validation(const config::RunConfig& config)
    : config_(config),
      source_(data::open_clips(data::held_out_data(config.data, data::Part::kValidation), config.audio)) {
  clips_.resize(static_cast<std::size_t>(source_->size()));
  std::iota(clips_.begin(), clips_.end(), 0);
}

/// Reads the crops of clips_[first … first + count). False if some cannot be read: they are then no longer in clips_.
bool Validation::read(std::int64_t first, std::int64_t count, data::CropBatch& batch) {
  std::mutex mutex;
  std::set<std::int64_t> bad;
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t clip = clips_[static_cast<std::size_t>(first + row)];
      try {
        source_->read_crop(clip, derive_seed({kValidationStream, kCropStream, static_cast<std::uint64_t>(clip)}), batch,
                           row);
      } catch (const Error& failure) {
        source_->report_bad(clip, failure.what());
        const std::lock_guard lock(mutex);
        bad.insert(clip);
      }
    }
  });
  std::erase_if(clips_, [&](std::int64_t clip) { return bad.contains(clip); });
  return bad.empty();
}

double Validation::loss(objective::Objective& objective, const runtime::Arithmetic& arithmetic) {
  const torch::NoGradGuard no_grad;
  const std::int64_t asked_for = config_.train.device_batch;
  const std::int64_t largest = asked_for > 0 ? std::min(asked_for, kMaxBatch) : kMaxBatch;
  double sum = 0;
  for (std::int64_t first = 0; first < size();) {
    const std::int64_t count = std::min(largest, size() - first);
    auto crops = source_->allocate(count, config_.model.frames, /*pinned=*/false);
    if (!read(first, count, crops)) continue;  // again, with fewer clips
    const auto begin = clips_.begin() + first;
    data::Batch batch{source_->spectrogram(crops, arithmetic.device), {begin, begin + count}};
    // A batch's masks are drawn one after the other from its own seed.
    auto generator = at::make_generator<at::CPUGeneratorImpl>(
        derive_seed({kValidationStream, kMaskStream, static_cast<std::uint64_t>(first)}));
    const auto drawn = objective.draw(count, std::move(generator)).to(arithmetic.device);
    const auto autocast = arithmetic.autocast();
    sum += objective.loss(batch, drawn).item<double>() * static_cast<double>(count);
    first += count;
  }
  AXLSTM_CHECK(size() > 0, "none of the clips of data.validation can be read");
  return sum / static_cast<double>(size());
}

}  // namespace axlstm::train
