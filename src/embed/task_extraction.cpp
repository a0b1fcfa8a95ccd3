#include <algorithm>
#include <future>
#include <utility>

#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/core/parallel.h"
#include "axlstm/embed/extraction.h"
#include "axlstm/embed/task_embeddings.h"
#include "axlstm/features/log_mel.h"
#include "clips.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

/// The folder <task>/<rate> to read: the encoder's rate, or the highest there is when resampling.
int choose_rate(const fs::path& task_dir, int wanted, bool resample) {
  if (fs::is_directory(task_dir / std::to_string(wanted))) return wanted;
  int highest = 0;
  for (const int rate : {16000, 22050, 32000, 44100, 48000}) {
    if (fs::is_directory(task_dir / std::to_string(rate))) highest = rate;
  }
  AXLSTM_CHECK(highest > 0, task_dir.string(), ": has no audio folder such as ", task_dir.string(), "/", wanted);
  AXLSTM_CHECK(resample, task_dir.string(), ": has audio at ", highest, " Hz, the model needs ", wanted,
               " Hz; --resample converts it");
  log::info(str(task_dir.string(), ": resampling ", highest, " Hz to the model's ", wanted, " Hz"));
  return highest;
}

/// Decodes the clips of a task, those of the next call while these are embedded.
class TaskClips {
 public:
  TaskClips(int folder_rate, int rate, std::size_t threads, double min_decoded_fraction)
      : folder_rate_(folder_rate), rate_(rate), threads_(threads), decoding_{min_decoded_fraction} {}

  /// What the call of take() after the next one will ask for.
  void announce(std::vector<fs::path> files) { announced_ = std::move(files); }

  /// Waveforms of `files`. No more than these and those that were announced are in memory.
  std::vector<torch::Tensor> take(const std::vector<fs::path>& files) {
    std::future<std::vector<torch::Tensor>> ahead = std::move(ahead_);
    const bool there = ahead.valid() && files == ahead_files_;
    auto waveforms = there ? ahead.get() : decode(files);
    ahead_files_ = std::exchange(announced_, {});
    if (!ahead_files_.empty())
      ahead_ = std::async(std::launch::async, [this, next = ahead_files_] { return decode(next); });
    return waveforms;
  }

 private:
  std::vector<torch::Tensor> decode(const std::vector<fs::path>& files) const {
    std::vector<torch::Tensor> waveforms(files.size());
    for_each_index(files.size(), threads_, [&](std::size_t) {
      return [&](std::size_t n) {
        auto wave = audio::decode({.path = files[n], .decoding = decoding_});
        say_what_is_missing(files[n].string(), wave.note);
        AXLSTM_CHECK(wave.sample_rate == folder_rate_, files[n].string(), ": is at ", wave.sample_rate,
                     " Hz in the folder of ", folder_rate_, " Hz");
        waveforms[n] = features::as_tensor(audio::resample(std::move(wave), rate_));
      };
    });
    return waveforms;
  }

  int folder_rate_, rate_;
  std::size_t threads_;
  audio::DecodeOptions decoding_;
  std::vector<fs::path> announced_, ahead_files_;
  std::future<std::vector<torch::Tensor>> ahead_;  ///< last: it uses the rest
};

}  // namespace

bool extract_task(ClipEncoder& encoder, const fs::path& task_dir, const ExtractionOptions& options) {
  const hear::TaskMetadata metadata = hear::load_task_metadata(task_dir);
  const int rate = choose_rate(task_dir, encoder.sample_rate(), options.resample || encoder.takes_any_rate());
  TaskClips clips(rate, encoder.sample_rate(), decoding_threads(encoder, options), options.min_decoded_fraction);
  const bool scene = metadata.embedding_type == hear::EmbeddingType::kScene;
  const auto embed = [&](const std::vector<fs::path>& files) {
    std::vector<FileEmbedding> results;
    const EmbeddingKind kind = scene ? EmbeddingKind::kScene : EmbeddingKind::kTimestamp;
    for (ClipEmbedding& clip : encoder.embed(clips.take(files), kind))
      results.push_back({scene ? clip.scene : clip.timestamps, std::move(clip.timestamps_ms)});
    return results;
  };
  const double clip_seconds = metadata.sample_duration_seconds.value_or(10.0);
  TaskEmbeddingsOptions layout;
  layout.sample_rate = rate;
  const double most = options.batch_seconds / std::max(clip_seconds, 2.0), passes = encoder.passes(clip_seconds);
  layout.batch_files = std::max(1, static_cast<int>(passes > 0 ? std::min(most, 1 / passes) : most));
  layout.per_file = options.per_file;
  layout.source = encoder.description();
  layout.announce = [&](std::vector<fs::path> files) { clips.announce(std::move(files)); };
  layout.progress = [&](std::int64_t done, std::int64_t total) {
    log::progress(str(task_dir.filename().string(), ": embedded ", done, " of ", total, " files"), done == total);
  };
  return write_task_embeddings(task_dir, options.output_dir, embed, layout);
}

}  // namespace axlstm::embed
