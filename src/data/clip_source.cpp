#include "axlstm/data/clip_source.h"

#include <filesystem>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/data/dataset.h"
#include "axlstm/data/lists/task_clips.h"
#include "axlstm/data/packed_dataset.h"
#include "axlstm/data/synthetic.h"

namespace axlstm::data {

ClipSource::ClipSource(std::string source, double max_bad_fraction)
    : source_(std::move(source)), max_bad_fraction_(max_bad_fraction) {}

void ClipSource::report_bad(std::int64_t clip, const std::string& reason) {
  const std::lock_guard lock(bad_mutex_);
  if (!bad_.insert(clip).second) return;
  log::warn(str("skipped: ", reason, " (", bad_.size(), " bad of ", size(), " clips)"));
  const auto allowed = max_bad_fraction_ * static_cast<double>(size());
  AXLSTM_CHECK(static_cast<double>(bad_.size()) <= allowed, bad_.size(), " of ", size(), " clips of ", source_,
               " cannot be used, data.max_bad_fraction allows ", max_bad_fraction_, "; the last: ", reason);
}

ClipSource::StartOf ClipSource::uniform_start(std::uint64_t seed) {
  return [seed](std::int64_t frames, std::int64_t count) {
    return static_cast<std::int64_t>(uniform_below(seed, static_cast<std::uint64_t>(frames - count + 1)));
  };
}

void ClipSource::report_partial(std::int64_t clip, const std::string& note) {
  const std::lock_guard lock(bad_mutex_);
  if (!partial_.insert(clip).second) return;
  log::warn(str("taken in part: ", id(clip), ": ", note, " (", partial_.size(), " such of ", size(), " clips)"));
}

std::int64_t ClipSource::bad_count() const {
  const std::lock_guard lock(bad_mutex_);
  return static_cast<std::int64_t>(bad_.size());
}

std::int64_t ClipSource::partial_count() const {
  const std::lock_guard lock(bad_mutex_);
  return static_cast<std::int64_t>(partial_.size());
}

std::shared_ptr<ClipSource> open_clips(const DataOptions& options, const features::LogMelOptions& audio) {
  if (!options.task.empty()) return std::make_shared<Dataset>(task_clips(options, audio.sample_rate), audio, options);
  if (options.synthetic > 0) {
    if (!options.root.empty() || !options.manifest.empty() || !options.packed.empty())
      throw UsageError("data.synthetic is set beside data.root, data.manifest or data.packed; leave those empty");
    return std::make_shared<Synthetic>(options.synthetic, audio);
  }
  if (options.packed.empty()) return std::make_shared<Dataset>(load_manifest(options), audio, options);
  if (!options.root.empty() || !options.manifest.empty())
    throw UsageError("data.packed and data.root or data.manifest are both set; leave one of them empty (data.root=)");
  std::error_code failure;
  if (!std::filesystem::is_directory(expand_home(options.packed), failure))
    throw UsageError(options.packed + ": no such folder of packed clips (data.packed)");
  return std::make_shared<PackedDataset>(expand_home(options.packed), audio, options.max_bad_fraction);
}

std::string fingerprint(const ClipSource& clips, bool labels) {
  std::uint64_t state = kFnv1a64Start;
  for (std::int64_t clip = 0; clip < clips.size(); ++clip) {
    state = fnv1a64(clips.id(clip) + '\n', state);
    if (labels) state = fnv1a64(clips.labels(clip) + '\n', state);
  }
  return hex(state);
}

bool has_held_out(const DataOptions& options, Part part) {
  return !options.task.empty() || !(part == Part::kValidation ? options.validation : options.test).empty();
}

DataOptions held_out_data(const DataOptions& options, Part part) {
  DataOptions held_out = options;
  held_out.part = part;
  if (!options.task.empty()) return held_out;
  held_out.root.clear();
  held_out.manifest.clear();
  held_out.packed.clear();
  held_out.synthetic = 0;
  const bool validates = part == Part::kValidation;
  const std::filesystem::path place = expand_home(validates ? options.validation : options.test);
  std::error_code failure;
  need(std::filesystem::exists(place, failure),
       str(place.string(), ": no such file or folder (", validates ? "data.validation" : "data.test", ")"));
  if (std::filesystem::exists(place / "pack.json", failure)) {
    held_out.packed = place.string();
  } else if (std::filesystem::is_directory(place, failure)) {
    held_out.root = place.string();
  } else {
    held_out.manifest = place.string();
    held_out.root = options.root;
  }
  return held_out;
}

}  // namespace axlstm::data
