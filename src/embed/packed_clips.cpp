#include <torch/torch.h>

#include <algorithm>
#include <unordered_map>

#include "axlstm/core/error.h"
#include "axlstm/data/packed_clip.h"
#include "clips.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;
using data::PackedSet;
using data::ShardView;

/// Chunks of long log-mel that are in memory at once.
constexpr std::int64_t kChunksAtOnce = 256;

/// An id as a path below the output folder; empty if it leads elsewhere or to no file.
std::string output_name(std::string_view id) {
  const fs::path path = fs::path(id).lexically_normal();
  const bool leaves = path.is_absolute() || (!path.empty() && *path.begin() == "..");
  // The system ends a path at a zero.
  const bool is_file = path.has_filename() && path != "." && id.find('\0') == std::string_view::npos;
  return leaves || !is_file ? "" : path.string();
}

std::string name_of(const ShardView& clip, OutputFormat format) {
  return format == OutputFormat::kCsv ? std::string(clip.id) : output_name(clip.id);
}

/// An id as messages can hold it, which end at a zero.
std::string printable(std::string_view id) {
  const std::string whole(id);
  return whole.c_str();
}

/// Before anything is embedded: millions of clips are cheaper to look at than to lose some of.
void check_names(const PackedSet& set, const std::string& folder, OutputFormat format) {
  std::unordered_map<std::string, std::int64_t> seen;
  seen.reserve(static_cast<std::size_t>(set.size()));
  for (std::int64_t index = 0; index < set.size(); ++index) {
    const ShardView clip = set.clip(index);
    std::string name = name_of(clip, format);
    if (format == OutputFormat::kNpy && name.empty())
      throw UsageError(str(folder, ": clip '", printable(clip.id),
                           "' names no file in the output folder; --format csv writes ids as they are"));
    const auto [twin, is_new] = seen.emplace(std::move(name), index);
    if (!is_new)
      throw UsageError(str(folder, ": clips '", set.clip(twin->second).id, "' and '", clip.id,
                           "' would both be written as ", twin->first, "; pack them under different ids"));
  }
}

/// What packed clips have in common, over the interface of those that are decoded or not.
template <typename Base>
class PackedClips : public Base {
 public:
  template <typename... Arguments>
  PackedClips(std::shared_ptr<const PackedSet> set, OutputFormat format, Arguments&&... arguments)
      : Base(std::forward<Arguments>(arguments)...), set_(std::move(set)), format_(format) {}

  std::size_t size() const final { return static_cast<std::size_t>(set_->size()); }
  std::string name(std::size_t clip) const final { return name_of(view(clip), format_); }
  std::string place(std::size_t clip) const final { return data::place_of(view(clip)); }
  std::uint64_t expected_bytes(std::size_t clip) const final { return 2 * view(clip).bytes; }  // 16 bits → 32

 protected:
  ShardView view(std::size_t clip) const { return set_->clip(static_cast<std::int64_t>(clip)); }

  std::shared_ptr<const PackedSet> set_;

 private:
  OutputFormat format_;
};

class PackedSamples final : public PackedClips<RecordedClips> {
 public:
  using PackedClips::PackedClips;

 private:
  audio::Recording recording(std::size_t clip) const override { return data::recording_of(view(clip), set_->info()); }
};

class PackedLogMels final : public PackedClips<Clips> {
 public:
  PackedLogMels(std::shared_ptr<const PackedSet> set, const ExtractionOptions& options, ClipEncoder& encoder,
                const FrontEnd& front_end)
      : PackedClips(std::move(set), options.format),
        encoder_(encoder),
        front_end_(front_end),
        long_seconds_(options.long_seconds) {}

  std::optional<ReadClip> read(std::size_t clip) const override {
    data::PackedLogMel frames(view(clip), front_end_.log_mel);
    const double seconds = front_end_.seconds(frames.left());
    if (seconds > long_seconds_) return std::nullopt;
    return ReadClip{.data = frames.read(frames.left()), .seconds = seconds, .note = {}};
  }

  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& clips, EmbeddingKind kind) override {
    return encoder_.embed_log_mel(clips, kind);
  }

  /// Whole chunks at a time: no chunk knows of another.
  LongClip embed_long(std::size_t clip, const ClipEncoder::TakeStep& take) override {
    data::PackedLogMel frames(view(clip), front_end_.log_mel);
    const double seconds = front_end_.seconds(frames.left());
    std::int64_t count = 0;
    while (frames.left() > 0) {
      const auto embedded =
          encoder_.embed_log_mel({frames.read(kChunksAtOnce * front_end_.chunk_frames)}, EmbeddingKind::kTimestamp);
      const auto steps = embedded.at(0).timestamps.contiguous();
      const auto width = static_cast<std::size_t>(steps.size(1));
      for (std::int64_t step = 0; step < steps.size(0); ++step)
        take({steps.const_data_ptr<float>() + static_cast<std::size_t>(step) * width, width});
      count += steps.size(0);
    }
    return {1000.0 * seconds / static_cast<double>(count), {}};
  }

 private:
  ClipEncoder& encoder_;
  FrontEnd front_end_;
  double long_seconds_;
};

}  // namespace

std::unique_ptr<Clips> packed_clips(ClipEncoder& encoder, const fs::path& folder, const ExtractionOptions& options,
                                    std::vector<std::string>& failures) {
  auto set = std::make_shared<const PackedSet>(folder, &failures);
  const std::optional<FrontEnd> front_end = encoder.front_end();
  if (front_end) {
    data::check_front_end(set->info(), front_end->log_mel, folder.string(),
                          "that is the model's; pack the audio again with it");
  }
  check_names(*set, folder.string(), options.format);
  if (set->info().encoding == data::Encoding::kPcm16)
    return std::make_unique<PackedSamples>(std::move(set), options.format, encoder, options.long_seconds);
  need(front_end.has_value(), str(folder.string(),
                                  ": holds log-mel (pack --format logmel16), the model needs samples; "
                                  "pack the audio with --format pcm16"));
  return std::make_unique<PackedLogMels>(std::move(set), options, encoder, *front_end);
}

}  // namespace axlstm::embed
