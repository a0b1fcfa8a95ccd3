#include "axlstm/data/clip_source.h"

#include <filesystem>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/data/dataset.h"
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

std::vector<std::string> ClipSource::labels_of(const std::vector<std::int64_t>& clips) const {
  std::vector<std::string> texts;
  texts.reserve(clips.size());
  for (const std::int64_t clip : clips) texts.push_back(labels(clip));
  return texts;
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

}  // namespace axlstm::data
