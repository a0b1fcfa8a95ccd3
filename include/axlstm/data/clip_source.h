// What the loader takes crops from: audio files (dataset.h) or packed shards (packed_dataset.h).
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "axlstm/data/options.h"
#include "axlstm/features/options.h"

namespace axlstm::data {

/// The crops of one batch as worker threads leave them on the CPU; what `data` holds is up to the source.
struct CropBatch {
  torch::Tensor data;             ///< [B, …]
  torch::Tensor mean, deviation;  ///< [B] float32: of the whole clips, where `data` is not normalised yet
  torch::Tensor frames;           ///< [B] int64: fewer than asked for where a clip is shorter, to be tiled
  torch::Tensor scale = {};       ///< [B] float32: of `data`, where it is 16-bit numbers
};

/// Random access to crops of every clip; safe to use from many threads unless said otherwise.
class ClipSource {
 public:
  /// `source` names it in messages; more than `max_bad_fraction` unreadable clips are an Error.
  ClipSource(std::string source, double max_bad_fraction);
  virtual ~ClipSource() = default;

  virtual std::int64_t size() const = 0;
  virtual std::string id(std::int64_t clip) const = 0;

  /// As the list or the shard has them, several joined by commas; empty where there are none.
  virtual std::string labels(std::int64_t clip) const = 0;

  /// Ids of the list's rows whose audio was not found.
  virtual std::vector<std::string> unmatched() const { return {}; }

  /// Room for `batch` crops of `frames` frames, in page-locked memory if it will be copied to a GPU.
  virtual CropBatch allocate(std::int64_t batch, std::int64_t frames, bool pinned) const = 0;

  /// Frames of a clip, L'. Throws Error naming the clip if it cannot be used.
  virtual std::int64_t frames(std::int64_t clip) = 0;

  /// Where a crop of `count` frames begins in a clip of `frames` frames, count ≤ frames.
  using StartOf = std::function<std::int64_t(std::int64_t frames, std::int64_t count)>;

  /// A start that is uniform in [0, frames − count], drawn from `seed`.
  static StartOf uniform_start(std::uint64_t seed);

  /// Puts the crop that begins at start() into `row`; a clip shorter than a crop is tiled along time. Throws Error
  /// naming the clip if it cannot be used.
  virtual void read(std::int64_t clip, const StartOf& start, CropBatch& batch, std::int64_t row) = 0;

  void read_crop(std::int64_t clip, std::uint64_t seed, CropBatch& batch, std::int64_t row) {
    read(clip, uniform_start(seed), batch, row);
  }

  /// Log-mel [B, 1, L, F] float32 of the batch on `device`, normalised by each whole clip's mean and standard
  /// deviation. Used by one thread at a time.
  virtual torch::Tensor spectrogram(const CropBatch& batch, const torch::Device& device) = 0;

  /// Counts a clip of which something was not taken, once, with a warning.
  void report_partial(std::int64_t clip, const std::string& note);

  /// Counts a clip that could not be read, once, with a warning. Throws Error when more than data.max_bad_fraction are
  /// bad.
  void report_bad(std::int64_t clip, const std::string& reason);
  std::int64_t bad_count() const;
  std::int64_t partial_count() const;

 private:
  std::string source_;
  double max_bad_fraction_;
  mutable std::mutex bad_mutex_;
  std::set<std::int64_t> bad_, partial_;
};

/// Opens what `options` name: data.synthetic, data.packed, or files. Throws UsageError if they name several.
std::shared_ptr<ClipSource> open_clips(const DataOptions& options, const features::LogMelOptions& audio);

/// Tells whether a list of clips changed: a hash of their ids, with `labels` of those too.
std::string fingerprint(const ClipSource& clips, bool labels);

/// Whether a configuration has clips to validate or test on.
bool has_held_out(const DataOptions& options, Part part);

/// The same options with those clips instead: of data.task, or what data.validation or data.test names: packed clips, a
/// folder of audio, or a list (its paths relative to data.root). Throws UsageError naming the key if there are none.
DataOptions held_out_data(const DataOptions& options, Part part);

}  // namespace axlstm::data
