#include "axlstm/data/lists/clip_stream.h"

#include <atomic>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::data {
namespace {

class ManifestStream final : public ClipStream {
 public:
  explicit ManifestStream(Manifest manifest) : manifest_(std::move(manifest)) {}

  std::optional<StreamedClip> next() override {
    const std::size_t index = position_;
    if (index >= manifest_.clips.size()) return std::nullopt;
    ++position_;
    return StreamedClip{manifest_.clips[index], std::nullopt, ""};
  }

  void skip(std::int64_t count) override { position_ += static_cast<std::size_t>(count); }

  double done() const override {
    return static_cast<double>(position_) / static_cast<double>(std::max<std::size_t>(manifest_.clips.size(), 1));
  }

  std::string fingerprint() const override {
    std::uint64_t state = kFnv1a64Start;
    for (const Clip& clip : manifest_.clips) {
      state = fnv1a64(str(clip.id, '\n', clip.path.filename().string(), '\n', clip.segment.start_seconds, ' ',
                          clip.segment.duration_seconds, '\n', clip.labels, '\n'),
                      state);
    }
    return hex(state);
  }

  std::string description() const override { return str(manifest_.source, " (", manifest_.clips.size(), " clips)"); }

 private:
  Manifest manifest_;
  std::atomic<std::size_t> position_{0};
};

}  // namespace

std::unique_ptr<ClipStream> stream_manifest(Manifest manifest) {
  return std::make_unique<ManifestStream>(std::move(manifest));
}

}  // namespace axlstm::data
