#include "axlstm/data/loader.h"

#include <omp.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/core/random.h"

namespace axlstm::data {
namespace {

constexpr std::int64_t kMaxReplacements = 100;

}  // namespace

Loader::Loader(std::shared_ptr<Dataset> dataset, const LoaderOptions& options, std::int64_t first_step)
    : dataset_(std::move(dataset)),
      options_(options),
      steps_per_epoch_(dataset_->size() / options.batch_size),
      mels_(dataset_->mels()),
      front_step_(first_step),
      ticket_(first_step * options.batch_size) {
  AXLSTM_CHECK(steps_per_epoch_ > 0, "the training set has ", dataset_->size(), " clips, fewer than one batch of ",
               options.batch_size, "; lower optim.global_batch");
  AXLSTM_CHECK(options.workers > 0, "the loader's workers are ", options.workers, ", at least 1 is needed");
  AXLSTM_CHECK(options.prefetch_batches > 0, "the loader's prefetch_batches is ", options.prefetch_batches,
               ", at least 1 is needed");
  try {
    // Held until all are there: work under way could need threads of LibTorch's own, and those abort the program when
    // the system gives none.
    const std::lock_guard lock(mutex_);
    for (std::int64_t i = 0; i < options.workers; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {  // the system gives no more threads
    stop();
    throw;
  }
}

Loader::~Loader() { stop(); }

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_available_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Batch Loader::next() {
  std::unique_lock lock(mutex_);
  batch_ready_.wait(lock, [&] { return failure_ || (!slots_.empty() && slots_.front()->missing == 0); });
  if (failure_) std::rethrow_exception(failure_);
  Batch batch = std::move(slots_.front()->batch);
  slots_.pop_front();
  ++front_step_;
  work_available_.notify_all();
  return batch;
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  // Workers run side by side: none of them should start a team of OpenMP threads of its own. LibTorch sets the number
  // when a thread first computes; after that the thread's own setting holds.
  at::internal::lazy_init_num_threads();
  omp_set_num_threads(1);
  while (true) {
    work_available_.wait(lock, [&] {
      return stopping_ || failure_ || ticket_ / options_.batch_size < front_step_ + options_.prefetch_batches;
    });
    if (stopping_ || failure_) return;
    const std::int64_t step = ticket_ / options_.batch_size, row = ticket_ % options_.batch_size;
    ++ticket_;
    if (row == 0) {
      auto slot = std::make_unique<Slot>();
      slot->batch.spectrogram = torch::empty({options_.batch_size, 1, options_.frames, mels_});
      slot->batch.clips.resize(static_cast<std::size_t>(options_.batch_size));
      slot->missing = options_.batch_size;
      slots_.push_back(std::move(slot));
    }
    Slot& slot = *slots_[static_cast<std::size_t>(step - front_step_)];
    const std::int64_t clip = clip_at(step, row);
    slot.batch.clips[static_cast<std::size_t>(row)] = clip;
    lock.unlock();
    try {
      fill(slot, step, row);
    } catch (...) {
      lock.lock();
      if (!failure_) failure_ = std::current_exception();
      batch_ready_.notify_all();
      work_available_.notify_all();
      return;
    }
    lock.lock();
    if (--slot.missing == 0) batch_ready_.notify_all();
  }
}

/// Puts crop `row` of `step` in place. A clip that cannot be read is replaced by another one, drawn from the seed
/// alone.
void Loader::fill(Slot& slot, std::int64_t step, std::int64_t row) {
  const auto place = derive_seed({static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(row)});
  std::int64_t& clip = slot.batch.clips[static_cast<std::size_t>(row)];
  for (std::int64_t attempt = 0; attempt < kMaxReplacements; ++attempt) {
    try {
      const auto features = dataset_->features(clip);
      const auto crop = random_crop(features, options_.frames, derive_seed({options_.seed, kCropStream, place}));
      slot.batch.spectrogram[row][0].copy_(crop);
      return;
    } catch (const Error& failure) {
      dataset_->report_bad(clip, failure.what());
    }
    const auto seed = derive_seed({options_.seed, kReplacementStream, place, static_cast<std::uint64_t>(attempt)});
    clip = static_cast<std::int64_t>(uniform_below(seed, static_cast<std::uint64_t>(dataset_->size())));
  }
  throw Error(str("no readable clip found in ", kMaxReplacements, " draws"));
}

std::int64_t Loader::clip_at(std::int64_t step, std::int64_t row) {
  const std::int64_t epoch = step / steps_per_epoch_;
  auto order = orders_.find(epoch);
  if (order == orders_.end()) {
    if (orders_.size() >= 2) orders_.erase(orders_.begin());
    const auto seed = derive_seed({options_.seed, kOrderStream, static_cast<std::uint64_t>(epoch)});
    order = orders_.emplace(epoch, permutation(dataset_->size(), seed)).first;
  }
  return order->second[static_cast<std::size_t>((step % steps_per_epoch_) * options_.batch_size + row)];
}

}  // namespace axlstm::data
