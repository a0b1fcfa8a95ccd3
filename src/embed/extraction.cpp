#include "axlstm/embed/extraction.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "axlstm/audio/file_names.h"
#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/ordered_parallel.h"
#include "axlstm/core/parallel.h"
#include "axlstm/embed/task_embeddings.h"
#include "axlstm/features/log_mel.h"
#include "file_outputs.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

/// Files to embed in path order; two inputs that would write one output are refused.
std::vector<Job> list_jobs(const std::vector<fs::path>& inputs, std::vector<std::string>& failures) {
  std::vector<Job> jobs;
  for (const fs::path& input : inputs) {
    std::error_code failure;
    if (!fs::exists(input, failure)) {
      failures.push_back(input.string() + ": no such file or folder");
    } else if (!fs::is_directory(input, failure)) {
      jobs.push_back({input, input.filename().string()});
    } else {
      const std::size_t before = jobs.size();
      const audio::AudioFiles found = audio::list_audio_files(input);
      if (!found.passed_over.empty()) log::warn(str(input.string(), ": passed over ", found.passed_over.description()));
      for (const fs::path& file : found.files) {
        // Not fs::relative: it resolves links, so that a name could lead out of the output folder.
        jobs.push_back({file, file.lexically_relative(input).string()});
      }
      if (jobs.size() == before) failures.push_back(input.string() + ": no audio under this folder");
    }
  }
  std::sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.name < b.name; });
  const auto twin =
      std::adjacent_find(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.name == b.name; });
  if (twin != jobs.end()) {
    throw UsageError(str(twin->file.string(), " and ", std::next(twin)->file.string(), " would both be written as ",
                         twin->name, "; embed them into different output folders"));
  }
  return jobs;
}

void check_finite(const ClipEmbedding& embedding, const std::string& file) {
  const auto timestamps = embedding.timestamps.contiguous();
  const std::span values(timestamps.const_data_ptr<float>(), static_cast<std::size_t>(timestamps.numel()));
  AXLSTM_CHECK(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }), file,
               ": its embedding holds NaN or infinite values");
}

audio::Recording recording(const fs::path& file, const ExtractionOptions& options) {
  return {.path = file, .decoding = {options.min_decoded_fraction}};
}

void say_what_is_missing(const fs::path& file, const std::string& note) {
  if (!note.empty()) log::warn(str("taken in part: ", file.string(), ": ", note));
}

std::size_t decoding_threads(const ClipEncoder& encoder, const ExtractionOptions& options) {
  return static_cast<std::size_t>(std::max(1, encoder.decoding_threads() / options.side_by_side));
}

/// A file that has been decoded, or why it could not be.
struct Decoded {
  std::size_t job = 0;
  torch::Tensor waveform;  ///< at the encoder's rate; undefined: it failed, or is long
  double seconds = 0;
  bool partial = false;
  bool is_long = false;
  std::string failure;
};

/// Of files that were embedded: how many could be written, and why others could not.
struct Written {
  std::int64_t count = 0;
  std::vector<std::string> failures;
};

/// Files → decoded by several threads, ahead → embedded, a batch at a time, by this one → written by another thread
/// while the next batch is embedded.
class Pipeline {
 public:
  Pipeline(ClipEncoder& encoder, const std::vector<Job>& jobs, const ExtractionOptions& options,
           ExtractionReport& report)
      : encoder_(encoder), jobs_(jobs), options_(options), report_(report), output_(open_output(options)) {}

  void run() {
    std::size_t next = 0;
    const auto produce = [&]() -> std::optional<std::size_t> {
      return next < jobs_.size() ? std::optional(next++) : std::nullopt;
    };
    const auto weigh = [&](const std::size_t& job) { return decoded_bytes(jobs_[job].file); };
    const std::size_t threads = decoding_threads(encoder_, options_);
    ordered_parallel<std::size_t, Decoded>(
        produce, [this](std::size_t&& job) { return read(job); },
        [this](Decoded&& decoded) {
          take(std::move(decoded));
          return true;
        },
        threads, 8 * threads + 64, {weigh, kMostDecodedBytes});
    embed_batch();
    finish_writing();
    output_->finish();
    log::progress(str("embedded ", report_.written, " of ", jobs_.size(), " files"), /*milestone=*/true);
  }

 private:
  static constexpr std::uint64_t kMostDecodedBytes = std::uint64_t{1} << 29;

  /// An estimate, before anything is read: of samples of 16 bits, or of what is compressed twelve times as much.
  static std::uint64_t decoded_bytes(const fs::path& file) {
    std::error_code failure;
    const auto size = fs::file_size(file, failure);
    const auto extension = file.extension();
    const bool plain = extension == ".wav" || extension == ".WAV" || extension == ".flac";
    return failure ? 0 : size * (plain ? 4 : 24);
  }

  Decoded read(std::size_t job) const {
    Decoded decoded{.job = job, .waveform = {}, .failure = {}};
    try {
      const fs::path& file = jobs_[job].file;
      auto whole = audio::decode_unless_long(recording(file, options_), options_.long_seconds);
      decoded.is_long = !whole;
      if (!whole) return decoded;
      say_what_is_missing(file, whole->note);
      decoded.partial = !whole->note.empty();
      auto wave = audio::resample(std::move(*whole), encoder_.sample_rate());
      decoded.seconds = wave.seconds();
      decoded.waveform = features::as_tensor(std::move(wave));
    } catch (const std::exception& failure) {
      decoded.failure = describe(jobs_[job], failure);
    }
    return decoded;
  }

  static std::string describe(const Job& job, const std::exception& failure) {
    const std::string message = message_of(failure), file = job.file.string();
    return message.find(file) == std::string::npos ? file + ": " + message : message;
  }

  void fail(const std::string& message) {
    log::error(message);
    report_.failures.push_back(message);
  }

  void take(Decoded&& decoded) {
    report_.partial += decoded.partial ? 1 : 0;
    if (decoded.waveform.defined()) {
      seconds_ += decoded.seconds;
      batch_.push_back(std::move(decoded));
    } else if (decoded.is_long) {
      embed_batch();
      finish_writing();
      embed_long(jobs_[decoded.job]);
    } else {
      fail(decoded.failure);
    }
    if (seconds_ >= options_.batch_seconds) embed_batch();
  }

  void embed_batch() {
    if (batch_.empty()) return;
    std::vector<torch::Tensor> waveforms;
    for (const Decoded& decoded : batch_) waveforms.push_back(decoded.waveform);
    std::vector<std::pair<const Job*, ClipEmbedding>> embedded;
    try {
      auto embeddings = encoder_.embed(waveforms);
      for (std::size_t n = 0; n < batch_.size(); ++n)
        embedded.emplace_back(&jobs_[batch_[n].job], std::move(embeddings.at(n)));
    } catch (const std::exception&) {
      embedded = embed_alone();
    }
    batch_.clear();
    seconds_ = 0;
    finish_writing();
    writing_ = std::async(std::launch::async, [this, embedded = std::move(embedded)] { return write(embedded); });
    log::progress(str("embedded ", report_.written, " of ", jobs_.size(), " files"), /*milestone=*/false);
  }

  /// Time steps are kept on disk until the last one is there: what fails before leaves nothing behind.
  void embed_long(const Job& job) {
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
      const LongClip clip = encoder_.embed_long(recording(job.file, options_), take);
      say_what_is_missing(job.file, clip.note);
      report_.partial += clip.note.empty() ? 0 : 1;
      AXLSTM_CHECK(std::all_of(sum.begin(), sum.end(), [](double value) { return std::isfinite(value); }),
                   job.file.string(), ": its embedding holds NaN or infinite values");
      if (spool) {
        output_->write_steps(job, *spool, sum.size(), clip.step_ms);
      } else {
        const auto mean = torch::tensor(sum, torch::kFloat64) / static_cast<double>(steps);
        output_->write(job, {.scene = mean.to(torch::kFloat32), .timestamps = {}, .timestamps_ms = {}});
      }
      Written written{1, {}};
      flush(written);
      report(written);
    } catch (const SharedFileError&) {
      throw;
    } catch (const std::exception& failure) {
      fail(describe(job, failure));
    }
    log::progress(str("embedded ", report_.written, " of ", jobs_.size(), " files"), /*milestone=*/false);
  }

  /// Only those clips are lost that fail alone.
  std::vector<std::pair<const Job*, ClipEmbedding>> embed_alone() {
    std::vector<std::pair<const Job*, ClipEmbedding>> embedded;
    for (const Decoded& decoded : batch_) {
      try {
        embedded.emplace_back(&jobs_[decoded.job], encoder_.embed({decoded.waveform}).at(0));
      } catch (const std::exception& failure) {
        fail(describe(jobs_[decoded.job], failure));
      }
    }
    return embedded;
  }

  Written write(const std::vector<std::pair<const Job*, ClipEmbedding>>& embedded) const {
    Written written;
    for (const auto& [job, embedding] : embedded) {
      try {
        check_finite(embedding, job->file.string());
        output_->write(*job, embedding);
        ++written.count;
      } catch (const SharedFileError&) {
        throw;
      } catch (const std::exception& failure) {
        written.failures.push_back(describe(*job, failure));
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

  ClipEncoder& encoder_;
  const std::vector<Job>& jobs_;
  const ExtractionOptions& options_;
  ExtractionReport& report_;
  std::unique_ptr<FileOutput> output_;
  std::vector<Decoded> batch_;
  double seconds_ = 0;
  std::future<Written> writing_;  ///< last: it uses the rest
};

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

}  // namespace

ExtractionReport extract_files(ClipEncoder& encoder, const std::vector<fs::path>& inputs,
                               const ExtractionOptions& options) {
  ExtractionReport report;
  const auto jobs = list_jobs(inputs, report.failures);
  for (const std::string& failure : report.failures) log::error(failure);
  if (jobs.empty()) return report;
  fs::create_directories(options.output_dir);
  const FileLock lock(options.output_dir / ".lock");  // two would write into one embeddings.csv
  Pipeline(encoder, jobs, options, report).run();
  return report;
}

bool extract_task(ClipEncoder& encoder, const fs::path& task_dir, const ExtractionOptions& options) {
  const hear::TaskMetadata metadata = hear::load_task_metadata(task_dir);
  const int rate = choose_rate(task_dir, encoder.sample_rate(), options.resample || encoder.takes_any_rate());
  const auto embed = [&](const std::vector<fs::path>& files) {
    std::vector<torch::Tensor> waveforms(files.size());
    for_each_index(files.size(), decoding_threads(encoder, options), [&](std::size_t) {
      return [&](std::size_t n) {
        auto wave = audio::decode(recording(files[n], options));
        say_what_is_missing(files[n], wave.note);
        AXLSTM_CHECK(wave.sample_rate == rate, files[n].string(), ": is at ", wave.sample_rate, " Hz in the folder of ",
                     rate, " Hz");
        waveforms[n] = features::as_tensor(audio::resample(std::move(wave), encoder.sample_rate()));
      };
    });
    std::vector<FileEmbedding> results;
    for (ClipEmbedding& clip : encoder.embed(waveforms)) {
      const bool scene = metadata.embedding_type == hear::EmbeddingType::kScene;
      results.push_back(
          {scene ? clip.scene : clip.timestamps, scene ? std::vector<double>{} : std::move(clip.timestamps_ms)});
    }
    return results;
  };
  const double clip_seconds = metadata.sample_duration_seconds.value_or(10.0);
  LayoutOptions layout;
  layout.sample_rate = rate;
  layout.batch_files = std::max(1, static_cast<int>(options.batch_seconds / std::max(clip_seconds, 2.0)));
  layout.per_file = options.per_file;
  layout.source = encoder.description();
  layout.progress = [&](std::int64_t done, std::int64_t total) {
    log::progress(str(task_dir.filename().string(), ": embedded ", done, " of ", total, " files"), done == total);
  };
  return write_task_embeddings(task_dir, options.output_dir, embed, layout);
}

}  // namespace axlstm::embed
