#include "axlstm/data/packer.h"

#include <torch/torch.h>

#include <algorithm>
#include <iomanip>

#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/ordered_parallel.h"
#include "axlstm/data/shards/shard.h"
#include "axlstm/features/log_mel.h"
#include "clip_encoding.h"
#include "data/shards/packed_meta.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kLiveSeconds = 0.5, kMilestoneSeconds = 10;

/// While it lives operators use one thread: the last bits of their sums depend on the number, and clips are what is
/// worked on side by side.
class OneThreadEach {
 public:
  OneThreadEach() { at::set_num_threads(1); }
  ~OneThreadEach() { at::set_num_threads(before_); }
  OneThreadEach(const OneThreadEach&) = delete;
  OneThreadEach& operator=(const OneThreadEach&) = delete;

 private:
  int before_ = at::get_num_threads();
};

/// What a clip may take in memory while it is packed, by the size of its encoded form: as float32 at the source's rate
/// and at the model's, and its log-mel. Of compressed sound, where a byte can be many samples, a common rate is taken.
/// What is long takes no more than what is nearly long.
std::uint64_t expected_bytes(const StreamedClip& item) {
  constexpr std::uint64_t kPlain = 6, kCompressed = 30, kMostOfAFile = std::uint64_t{1} << 29;
  std::error_code ignored;
  const auto file_bytes = [&] {
    const auto size = fs::file_size(item.clip.path, ignored);
    return ignored ? 0 : size;
  };
  const std::string extension = item.clip.path.extension().string();
  const bool plain = extension == ".wav" || extension == ".aiff" || extension == ".aif" || extension == ".flac";
  if (item.bytes) return item.bytes->size() * (plain ? kPlain : kCompressed);
  return std::min(file_bytes() * (plain ? kPlain : kCompressed), kMostOfAFile);
}

/// Writes shard after shard.
class Packer {
 public:
  Packer(const PackOptions& options, const PackedInfo& info) : options_(options), info_(info) {}

  /// Takes over the whole shards of an earlier call; those that cannot be read are packed again. Returns how many clips
  /// of the stream they cover.
  std::int64_t resume() {
    std::error_code failure;
    while (fs::exists(path(), failure)) {
      try {
        const ShardReader shard(path());
        const ShardMeta meta = read_meta(shard.meta(), path().string());
        check_same(meta.info);
        if (meta.source_begin != position_) break;
        take(shard.size(), shard.checksum(), meta);
      } catch (const UsageError&) {
        throw;
      } catch (const Error& reason) {
        log::warn(str(reason.what(), "; packing it again"));
        break;
      }
    }
    return position_;
  }

  void add(EncodedClip&& packed) {
    ++position_;
    if (!packed.failure.empty()) {
      log::warn("left out: " + packed.failure);
      broken_.push_back({packed.clip.id, packed.failure});
    } else {
      if (!packed.note.empty()) {
        log::warn(str("packed in part: ", packed.clip.id, ": ", packed.note));
        partial_.push_back({packed.clip.id, packed.note});
      }
      if (!writer_) writer_ = std::make_unique<ShardWriter>(path());
      writer_->add(packed.clip);
      seconds_ += packed.seconds;
    }
    if (writer_ && writer_->bytes() >= static_cast<std::uint64_t>(options_.shard_mb) << 20) finish_shard();
  }

  /// Writes the last shard and the list of all.
  void finish() {
    if (writer_ || !broken_.empty()) finish_shard();
    AXLSTM_CHECK(clips_ > 0, info_.source, ": none of ", all_broken_.size(),
                 " clips can be used; the last: ", all_broken_.empty() ? "" : all_broken_.back().reason);
    write_list(kBrokenFile, all_broken_);
    write_list(kPartialFile, all_partial_);
    info_.broken = static_cast<std::int64_t>(all_broken_.size());
    info_.partial = static_cast<std::int64_t>(all_partial_.size());
    auto json = to_json(info_);
    json["clips"] = clips_;
    json["shards"] = shards_;
    write_file_atomic(options_.output / kPackFile,
                      json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    sync_directory(options_.output);
  }

  PackReport report(bool finished) const {
    return {clips_ + (writer_ ? static_cast<std::int64_t>(writer_->clips()) : 0),
            static_cast<std::int64_t>(all_broken_.size() + broken_.size()),
            static_cast<std::int64_t>(all_partial_.size() + partial_.size()), finished};
  }
  double seconds() const { return seconds_; }  ///< of audio packed by this call

  /// Throws UsageError if the folder's clips are others than those of this call.
  void check_same(const PackedInfo& found) const {
    const std::string folder = options_.output.string();
    if (found.encoding != info_.encoding)
      throw UsageError(folder + ": holds clips packed in another format; give the old --format or another --output");
    check_front_end(found, info_.audio, folder);
    if (found.source_fingerprint != info_.source_fingerprint)
      throw UsageError(str(folder, ": holds clips packed from another list (", found.source,
                           "), or the list changed since; choose another --output"));
  }

 private:
  fs::path path() const { return options_.output / shard_name(shards_.size()); }

  void write_list(const char* name, const std::vector<ClipRemark>& remarks) const {
    std::string list;
    for (const ClipRemark& clip : remarks) {
      const nlohmann::ordered_json line{{"id", clip.id}, {"reason", clip.reason}};
      list += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    write_file_atomic(options_.output / name, list);
  }

  void finish_shard() {
    const fs::path target = path();
    if (!writer_) writer_ = std::make_unique<ShardWriter>(target);  // none but broken clips
    const ShardMeta meta{info_, begin_, position_, std::move(broken_), std::move(partial_)};
    broken_.clear();
    partial_.clear();
    writer_->finish(write_meta(meta));
    writer_.reset();
    const ShardReader shard(target);
    take(shard.size(), shard.checksum(), meta);
  }

  void take(std::int64_t clips, std::uint64_t checksum, const ShardMeta& meta) {
    shards_.push_back({{"file", shard_name(shards_.size())}, {"clips", clips}, {"checksum", checksum}});
    all_broken_.insert(all_broken_.end(), meta.broken.begin(), meta.broken.end());
    all_partial_.insert(all_partial_.end(), meta.partial.begin(), meta.partial.end());
    clips_ += clips;
    position_ = begin_ = meta.source_end;
  }

  PackOptions options_;
  PackedInfo info_;
  std::unique_ptr<ShardWriter> writer_;
  std::vector<ClipRemark> broken_, partial_;          ///< of the shard being written
  std::vector<ClipRemark> all_broken_, all_partial_;  ///< of the whole shards
  std::vector<nlohmann::ordered_json> shards_;
  std::int64_t clips_ = 0;                 ///< in whole shards
  std::int64_t begin_ = 0, position_ = 0;  ///< in the stream: of the shard being written, and now
  double seconds_ = 0;
};

/// The live line: what is done, how fast, how long it will take.
class Progress {
 public:
  Progress(const ClipStream& stream, std::int64_t clips) : stream_(stream), first_done_(stream.done()), first_(clips) {}

  void show(const PackReport& report, double audio_seconds) {
    const double now = seconds_since(start_);
    if (now < shown_ + kLiveSeconds) return;
    shown_ = now;
    const bool milestone = now >= milestone_ + kMilestoneSeconds;
    if (milestone) milestone_ = now;
    const double done = stream_.done(), rate = (done - first_done_) / now;
    std::ostringstream line;
    line << "packed " << report.clips << " clips, " << report.broken << " broken | " << std::fixed
         << std::setprecision(0) << static_cast<double>(report.clips + report.broken - first_) / now << " clips/s, "
         << audio_seconds / now << " times real time | " << 100 * done << " %";
    if (rate > 0) line << " | ETA " << format_duration((1 - done) / rate);
    log::progress(line.str(), milestone);
  }

 private:
  const ClipStream& stream_;
  double first_done_;
  std::int64_t first_;
  Clock::time_point start_ = Clock::now();
  double shown_ = 0, milestone_ = 0;
};

}  // namespace

PackReport pack(ClipStream& stream, const PackOptions& options, const std::atomic<bool>& stop) {
  std::error_code failure;
  fs::create_directories(options.output, failure);
  AXLSTM_CHECK(!failure, options.output.string(), ": cannot be created (", failure.message(), ")");
  const FileLock lock(options.output / ".lock");
  const PackedInfo info{options.encoding, options.audio, stream.description(), stream.fingerprint(), 0, 0};
  Packer packer(options, info);
  if (fs::exists(options.output / kPackFile)) {
    const PackedSet set(options.output);
    packer.check_same(set.info());
    log::info(options.output.string() + ": all is packed already");
    return {set.size(), set.info().broken, set.info().partial, true};
  }
  const std::int64_t done = packer.resume();
  if (done > 0) log::info(str("going on after ", packer.report(false).clips, " packed clips"));
  stream.skip(done);

  const OneThreadEach one_thread_each;
  const features::LogMel log_mel(options.audio);
  const auto workers = static_cast<std::size_t>(options.workers);
  Progress progress(stream, done);
  bool stopped = false;
  ordered_parallel<StreamedClip, EncodedClip>(
      [&] { return stream.next(); }, [&](StreamedClip&& item) { return encode_clip(item, log_mel, options); },
      [&](EncodedClip&& packed) {
        packer.add(std::move(packed));
        progress.show(packer.report(false), packer.seconds());
        stopped = stop;
        return !stopped;
      },
      workers, 4 * workers, {&expected_bytes, static_cast<std::uint64_t>(options.memory_mb) << 20});
  if (!stopped) packer.finish();
  return packer.report(!stopped);
}

}  // namespace axlstm::data
