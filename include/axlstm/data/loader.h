// Batches of random crops, prepared ahead by worker threads. What a batch holds is a pure function of
// (seed, step): neither the number of workers nor an interruption changes it, nor among how many ranks it is divided.
#pragma once

#include <c10/core/Event.h>
#include <torch/types.h>

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "axlstm/core/ordered_batches.h"
#include "axlstm/data/batch.h"
#include "axlstm/data/clip_source.h"
#include "axlstm/data/mixing.h"

namespace axlstm::data {

struct LoaderOptions {
  std::uint64_t seed = 0;
  std::int64_t batch_size = 1024;
  std::int64_t first_row = 0;  ///< of the part of each batch that is wanted here
  std::int64_t rows = 0;       ///< length of that part; 0: to the end
  std::int64_t frames = 200;
  std::int64_t workers = 1;
  std::int64_t prefetch_batches = 3;
  torch::Device device = torch::kCPU;               ///< where batches are needed
  std::shared_ptr<const ClipClasses> classes = {};  ///< of all clips, for those who use the batches
  std::vector<double> weights = {};  ///< of each clip: draw with replacement by these; empty: a permutation an epoch
  Mixing mixing = {};                ///< crops with those of other clips
};

/// Goes through a new permutation of the clips every epoch, or draws as many by their weights; an epoch is ⌊clips /
/// batch size⌋ steps, the rest is left out.
class Loader {
 public:
  /// Begins at `first_step` (counted over all epochs). Throws Error if there are fewer clips than one batch needs, or
  /// no workers or batches to prefetch.
  Loader(std::shared_ptr<ClipSource> source, const LoaderOptions& options, std::int64_t first_step);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next step's batch. Rethrows what stopped a worker. For a GPU the batch after it is already being copied, on a
  /// stream of its own, if its crops are there.
  Batch next();

  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }

  /// Time that next() has waited for crops, over all calls.
  double seconds_waited() const { return seconds_waited_; }

 private:
  struct Slot {
    CropBatch crops;
    std::vector<std::int64_t> clips;  ///< of the rows, then of the crops that are mixed in; −1: none is
    std::vector<float> shares;        ///< of the rows in the mixed crops
  };

  /// A batch that the GPU is still being given.
  struct Upload {
    Batch batch;
    c10::Event ready;
  };

  std::unique_ptr<Slot> make_slot(std::int64_t step);
  void fill(Slot& slot, std::int64_t step, std::int64_t row);
  void read(Slot& slot, std::int64_t row, std::uint64_t place);
  void mix_in(Slot& slot, std::int64_t row, std::uint64_t place);
  std::unique_ptr<Slot> take_slot();
  Batch batch_of(Slot& slot);
  Upload start_upload();
  const std::vector<std::int64_t>& order(std::int64_t epoch);

  std::shared_ptr<ClipSource> source_;
  LoaderOptions options_;
  std::int64_t steps_per_epoch_;
  std::optional<Upload> ahead_;
  double seconds_waited_ = 0;

  std::map<std::int64_t, std::vector<std::int64_t>> orders_;  ///< epoch → permutation; two at most
  std::optional<OrderedBatches<Slot>> slots_;                 ///< last: its workers use the rest
};

}  // namespace axlstm::data
