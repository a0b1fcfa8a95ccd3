#include "axlstm/data/loader.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <omp.h>
#include <torch/torch.h>

#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/random.h"
#include "axlstm/data/class_weights.h"

// MKL's own, for the calling thread; LibTorch exports it where it was built with MKL.
extern "C" __attribute__((weak)) int MKL_Set_Num_Threads_Local(int count);

namespace axlstm::data {
namespace {

constexpr std::int64_t kMaxReplacements = 100;

}  // namespace

Loader::Loader(std::shared_ptr<ClipSource> source, const LoaderOptions& options, std::int64_t first_step)
    : source_(std::move(source)), options_(options), steps_per_epoch_(source_->size() / options.batch_size) {
  if (options_.rows == 0) options_.rows = options_.batch_size - options_.first_row;
  if (steps_per_epoch_ == 0) {
    throw UsageError(str("the training set has ", source_->size(), " clips, fewer than one batch of ",
                         options.batch_size, "; lower optim.global_batch"));
  }
  AXLSTM_CHECK(
      options_.first_row >= 0 && options_.rows > 0 && options_.first_row + options_.rows <= options_.batch_size,
      "rows ", options_.first_row, " … ", options_.first_row + options_.rows - 1, " are no part of a batch of ",
      options_.batch_size);
  AXLSTM_CHECK(options.weights.empty() || static_cast<std::int64_t>(options.weights.size()) == source_->size(),
               "the loader has ", options.weights.size(), " weights for ", source_->size(), " clips");
  AXLSTM_CHECK(options.workers > 0, "the loader's workers are ", options.workers, ", at least 1 is needed");
  AXLSTM_CHECK(options.prefetch_batches > 0, "the loader's prefetch_batches is ", options.prefetch_batches,
               ", at least 1 is needed");
  slots_.emplace(
      OrderedBatchesOptions{options.workers, options_.rows, options.prefetch_batches, first_step},
      OrderedBatches<Slot>::Work{[] {
                                   // Workers run side by side: none of them should start a team of OpenMP threads of
                                   // its own. LibTorch sets the number when a thread first computes; after that the
                                   // thread's own setting holds. OpenMP's alone would not do: MKL's is apart from it
                                   // wherever the number was set by hand. (at::set_num_threads would set MKL's for the
                                   // whole process, and so the training's rounding.)
                                   at::internal::lazy_init_num_threads();
                                   omp_set_num_threads(1);
                                   if (MKL_Set_Num_Threads_Local) MKL_Set_Num_Threads_Local(1);
                                 },
                                 [this](std::int64_t step) { return make_slot(step); },
                                 [this](Slot& slot, std::int64_t step, std::int64_t row) { fill(slot, step, row); }});
}

Batch Loader::next() {
  if (options_.device.is_cpu()) {
    const auto slot = take_slot();
    return batch_of(*slot);
  }
  if (!ahead_) ahead_ = start_upload();
  Upload upload = std::move(*ahead_);
  ahead_.reset();
  const c10::Stream compute = c10::impl::VirtualGuardImpl(options_.device.type()).getStream(options_.device);
  upload.ready.block(compute);
  upload.batch.spectrogram.record_stream(compute);  // its memory belongs to the other stream
  if (slots_->ready()) ahead_ = start_upload();
  return std::move(upload.batch);
}

/// Copies the next batch and computes its spectrogram beside the work of the stream in use.
Loader::Upload Loader::start_upload() {
  const auto slot = take_slot();
  const c10::impl::VirtualGuardImpl device(options_.device.type());
  const c10::Stream stream = device.getStreamFromGlobalPool(device.getDevice());
  const c10::StreamGuard guard(stream);
  Upload upload{batch_of(*slot), c10::Event(options_.device.type())};
  upload.ready.record(stream);
  return upload;
}

Batch Loader::batch_of(Slot& slot) {
  Batch batch{source_->spectrogram(slot.crops, options_.device), std::move(slot.clips), options_.classes};
  if (options_.mixing.is_on()) mix(batch, slot.shares);
  return batch;
}

std::unique_ptr<Loader::Slot> Loader::take_slot() {
  const auto start = std::chrono::steady_clock::now();
  auto slot = slots_->take();
  seconds_waited_ += seconds_since(start);
  return slot;
}

/// An empty batch with the clips that its crops are to be of.
std::unique_ptr<Loader::Slot> Loader::make_slot(std::int64_t step) {
  auto slot = std::make_unique<Slot>();
  const std::int64_t crops = options_.rows * (options_.mixing.is_on() ? 2 : 1);
  slot->crops = source_->allocate(crops, options_.frames, /*pinned=*/!options_.device.is_cpu());
  const auto first =
      order(step / steps_per_epoch_).begin() + step % steps_per_epoch_ * options_.batch_size + options_.first_row;
  slot->clips.assign(first, first + options_.rows);
  slot->clips.resize(static_cast<std::size_t>(crops), -1);
  slot->shares.assign(static_cast<std::size_t>(options_.rows), 1.0F);
  return slot;
}

/// Puts crop `row` of this part of `step` in place, and the one that is mixed into it.
void Loader::fill(Slot& slot, std::int64_t step, std::int64_t row) {
  const auto place =
      derive_seed({static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(options_.first_row + row)});
  read(slot, row, place);
  if (options_.mixing.is_on()) mix_in(slot, row, place);
}

/// A clip that cannot be read is replaced by another one, drawn from the seed alone.
void Loader::read(Slot& slot, std::int64_t row, std::uint64_t place) {
  std::int64_t& clip = slot.clips[static_cast<std::size_t>(row)];
  for (std::int64_t attempt = 0; attempt < kMaxReplacements; ++attempt) {
    try {
      source_->read_crop(clip, derive_seed({options_.seed, kCropStream, place}), slot.crops, row);
      return;
    } catch (const Error& failure) {
      source_->report_bad(clip, failure.what());
    }
    const auto seed = derive_seed({options_.seed, kReplacementStream, place, static_cast<std::uint64_t>(attempt)});
    clip = static_cast<std::int64_t>(uniform_below(seed, static_cast<std::uint64_t>(source_->size())));
  }
  throw Error(str("no readable clip found in ", kMaxReplacements, " draws"));
}

void Loader::mix_in(Slot& slot, std::int64_t row, std::uint64_t place) {
  const float share = options_.mixing.share(derive_seed({options_.seed, kMixStream, place}));
  const std::int64_t partner = options_.rows + row;
  if (share == 1.0F) return clear(slot.crops, partner, options_.frames);
  slot.shares[static_cast<std::size_t>(row)] = share;
  const auto seed = derive_seed({options_.seed, kPartnerStream, place});
  slot.clips[static_cast<std::size_t>(partner)] =
      static_cast<std::int64_t>(uniform_below(seed, static_cast<std::uint64_t>(source_->size())));
  read(slot, partner, derive_seed({place, kPartnerStream}));
}

/// The clips of an epoch.
const std::vector<std::int64_t>& Loader::order(std::int64_t epoch) {
  auto order = orders_.find(epoch);
  if (order == orders_.end()) {
    if (orders_.size() >= 2) orders_.erase(orders_.begin());
    const auto seed = derive_seed({options_.seed, kOrderStream, static_cast<std::uint64_t>(epoch)});
    order = orders_
                .emplace(epoch, options_.weights.empty() ? permutation(source_->size(), seed)
                                                         : weighted_draws(options_.weights, seed))
                .first;
  }
  return order->second;
}

}  // namespace axlstm::data
