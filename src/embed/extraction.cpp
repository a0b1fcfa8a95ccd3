#include "axlstm/embed/extraction.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <utility>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/ordered_parallel.h"
#include "axlstm/core/worker.h"
#include "clips.h"
#include "file_outputs.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

/// NaN and infinity reach a scene through the mean.
void check_finite(const ClipEmbedding& embedding, const std::string& place) {
  const auto tensor = (embedding.scene.defined() ? embedding.scene : embedding.timestamps).contiguous();
  const std::span values(tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel()));
  AXLSTM_CHECK(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }), place,
               ": its embedding holds NaN or infinite values");
}

/// A clip that has been read, or why it could not be.
struct Decoded {
  std::size_t clip = 0;
  std::optional<ReadClip> read;  ///< nothing: it failed, or is long
  std::string failure;
};

/// A batch that went through the encoder.
struct Embedded {
  std::vector<std::pair<std::size_t, ClipEmbedding>> clips;  ///< which clip, and its embedding
  std::vector<std::string> failures;                         ///< of the others
};

/// Of clips that were embedded: how many could be written, and why others could not.
struct Written {
  std::int64_t count = 0;
  std::vector<std::string> failures;
};

/// Clips → decoded by several threads, ahead → embedded, as many batches at once as the encoder likes → written, one
/// batch after the other, by another thread.
class Pipeline {
 public:
  Pipeline(Clips& clips, const ClipEncoder& encoder, const ExtractionOptions& options, ExtractionReport& report)
      : clips_(clips),
        encoder_(encoder),
        threads_(decoding_threads(encoder, options)),
        calls_at_once_(static_cast<std::size_t>(encoder.calls_at_once())),
        options_(options),
        report_(report),
        output_(open_output(options)),
        workers_(calls_at_once_ > 1 ? calls_at_once_ : 0) {}

  void run() {
    std::size_t next = 0;
    const auto produce = [&]() -> std::optional<std::size_t> {
      return next < clips_.size() ? std::optional(next++) : std::nullopt;
    };
    const auto weigh = [&](const std::size_t& clip) { return clips_.expected_bytes(clip); };
    ordered_parallel<std::size_t, Decoded>(
        produce, [this](std::size_t&& clip) { return read(clip); },
        [this](Decoded&& decoded) {
          take(std::move(decoded));
          return true;
        },
        threads_, 8 * threads_ + 64, {weigh, kMostDecodedBytes});
    finish_batches();
    output_->finish();
    show_progress(/*milestone=*/true);
  }

 private:
  static constexpr std::uint64_t kMostDecodedBytes = std::uint64_t{1} << 29;

  Decoded read(std::size_t clip) const {
    Decoded decoded{.clip = clip, .read = {}, .failure = {}};
    try {
      decoded.read = clips_.read(clip);
      if (decoded.read) say_what_is_missing(clips_.place(clip), decoded.read->note);
    } catch (const std::exception& failure) {
      decoded.failure = describe(clip, failure);
    }
    return decoded;
  }

  std::string describe(std::size_t clip, const std::exception& failure) const {
    const std::string message = message_of(failure), place = clips_.place(clip);
    return message.find(place) == std::string::npos ? place + ": " + message : message;
  }

  void show_progress(bool milestone) const {
    log::progress(str("embedded ", report_.written, " of ", clips_.size(), " ", clips_.noun()), milestone);
  }

  void fail(const std::string& message) {
    log::error(message);
    report_.failures.push_back(message);
  }

  void take(Decoded&& decoded) {
    if (decoded.read) {
      report_.partial += decoded.read->note.empty() ? 0 : 1;
      const double passes = encoder_.passes(decoded.read->seconds);
      if (passes_ + passes > 1) embed_batch();
      passes_ += passes;
      seconds_ += decoded.read->seconds;
      batch_.push_back(std::move(decoded));
    } else if (decoded.failure.empty()) {
      finish_batches();
      embed_long(decoded.clip);
    } else {
      fail(decoded.failure);
    }
    if (seconds_ >= options_.batch_seconds) embed_batch();
  }

  /// An encoder that takes one call at a time keeps to this thread, where LibTorch's threads of the CPU are there
  /// already.
  void embed_batch() {
    if (batch_.empty()) return;
    auto work = [this, batch = std::exchange(batch_, {})] { return embed(batch); };
    embedding_.push(workers_.empty() ? std::async(std::launch::deferred, std::move(work))
                                     : workers_.at(batches_++ % workers_.size()).give(std::move(work)));
    passes_ = seconds_ = 0;
    while (embedding_.size() >= calls_at_once_) finish_oldest();
  }

  /// Gives what the oldest batch became to the thread that writes.
  void finish_oldest() {
    Embedded embedded = embedding_.front().get();
    embedding_.pop();
    finish_writing();
    for (const std::string& failure : embedded.failures) fail(failure);
    writing_ = std::async(std::launch::async, [this, clips = std::move(embedded.clips)] { return write(clips); });
    show_progress(/*milestone=*/false);
  }

  void finish_batches() {
    embed_batch();
    while (!embedding_.empty()) finish_oldest();
    finish_writing();
  }

  /// Time steps are kept on disk until the last one is there: what fails before leaves nothing behind.
  void embed_long(std::size_t clip) {
    try {
      const bool scene = options_.kind == EmbeddingKind::kScene;
      std::optional<Spool> spool;
      if (!scene) spool.emplace(options_.output_dir);
      std::vector<double> sum;
      std::int64_t steps = 0;
      const auto take = [&](std::span<const float> step) {
        sum.resize(step.size());
        ++steps;
        for (std::size_t n = 0; n < step.size(); ++n) sum[n] += static_cast<double>(step[n]);
        if (spool) spool->append({reinterpret_cast<const char*>(step.data()), step.size_bytes()});
      };
      const LongClip embedded = clips_.embed_long(clip, take);
      say_what_is_missing(clips_.place(clip), embedded.note);
      report_.partial += embedded.note.empty() ? 0 : 1;
      AXLSTM_CHECK(std::all_of(sum.begin(), sum.end(), [](double value) { return std::isfinite(value); }),
                   clips_.place(clip), ": its embedding holds NaN or infinite values");
      if (spool) {
        output_->write_steps(clips_.name(clip), *spool, sum.size(), embedded.step_ms);
      } else {
        const auto mean = torch::tensor(sum, torch::kFloat64) / static_cast<double>(steps);
        output_->write(clips_.name(clip), {.scene = mean.to(torch::kFloat32), .timestamps = {}, .timestamps_ms = {}});
      }
      Written written{1, {}};
      flush(written);
      report(written);
    } catch (const SharedFileError&) {
      throw;
    } catch (const std::exception& failure) {
      fail(describe(clip, failure));
    }
    show_progress(/*milestone=*/false);
  }

  Embedded embed(const std::vector<Decoded>& batch) const {
    std::vector<torch::Tensor> data;
    data.reserve(batch.size());
    for (const Decoded& decoded : batch) data.push_back(decoded.read->data);
    try {
      Embedded embedded;
      auto embeddings = clips_.embed(data, options_.kind);
      for (std::size_t n = 0; n < batch.size(); ++n)
        embedded.clips.emplace_back(batch[n].clip, std::move(embeddings.at(n)));
      return embedded;
    } catch (const std::exception&) {
      return embed_alone(batch);
    }
  }

  /// Only those clips are lost that fail alone.
  Embedded embed_alone(const std::vector<Decoded>& batch) const {
    Embedded embedded;
    for (const Decoded& decoded : batch) {
      try {
        embedded.clips.emplace_back(decoded.clip, clips_.embed({decoded.read->data}, options_.kind).at(0));
      } catch (const std::exception& failure) {
        embedded.failures.push_back(describe(decoded.clip, failure));
      }
    }
    return embedded;
  }

  Written write(const std::vector<std::pair<std::size_t, ClipEmbedding>>& clips) const {
    Written written;
    for (const auto& [clip, embedding] : clips) {
      try {
        check_finite(embedding, clips_.place(clip));
        output_->write(clips_.name(clip), embedding);
        ++written.count;
      } catch (const SharedFileError&) {
        throw;
      } catch (const std::exception& failure) {
        written.failures.push_back(describe(clip, failure));
      }
    }
    flush(written);
    return written;
  }

  /// Makes what was written safe; `written` loses the clips for which that failed.
  void flush(Written& written) const {
    std::set<fs::path> lost;  // a clip of time steps has two files
    for (const auto& failure : output_->flush()) {
      written.failures.push_back(failure.message);
      lost.insert(failure.path);
    }
    written.count -= static_cast<std::int64_t>(lost.size());
  }

  void finish_writing() {
    if (writing_.valid()) report(writing_.get());
  }

  void report(const Written& written) {
    report_.written += written.count;
    for (const std::string& failure : written.failures) fail(failure);
  }

  Clips& clips_;
  const ClipEncoder& encoder_;
  std::size_t threads_, calls_at_once_;
  const ExtractionOptions& options_;
  ExtractionReport& report_;
  std::unique_ptr<FileOutput> output_;
  std::vector<Decoded> batch_;
  double seconds_ = 0, passes_ = 0;              ///< of the batch
  std::queue<std::future<Embedded>> embedding_;  ///< last, as those below: they use the rest
  std::future<Written> writing_;
  std::size_t batches_ = 0;
  std::vector<Worker> workers_;  ///< of the batches, in turn
};

/// `report` holds what failed before.
ExtractionReport extract(Clips& clips, const ClipEncoder& encoder, const ExtractionOptions& options,
                         ExtractionReport report) {
  for (const std::string& failure : report.failures) log::error(failure);
  if (clips.size() == 0) return report;
  fs::create_directories(options.output_dir);
  const FileLock lock(options.output_dir / ".lock");  // two would write into one embeddings.csv
  Pipeline(clips, encoder, options, report).run();
  return report;
}

}  // namespace

ExtractionReport extract_files(ClipEncoder& encoder, const std::vector<fs::path>& inputs,
                               const ExtractionOptions& options) {
  ExtractionReport report;
  const auto clips = file_clips(encoder, inputs, options, report.failures);
  return extract(*clips, encoder, options, std::move(report));
}

ExtractionReport extract_packed(ClipEncoder& encoder, const fs::path& folder, const ExtractionOptions& options) {
  ExtractionReport report;
  const auto clips = packed_clips(encoder, folder, options, report.failures);
  return extract(*clips, encoder, options, std::move(report));
}

}  // namespace axlstm::embed
