#include "axlstm/embed/extraction.h"

#include <torch/torch.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "axlstm/audio/file_names.h"
#include "axlstm/audio/resample.h"
#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/embed/task_embeddings.h"
#include "axlstm/features/log_mel.h"
#include "axlstm/io/npy.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

struct Job {
  fs::path file;
  std::string name;  ///< relative path under the output folder, without the added extension
};

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
  AXLSTM_CHECK(embedding.timestamps.isfinite().all().item<bool>(), file,
               ": its embedding holds NaN or infinite values");
}

std::span<const float> values(const torch::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

/// Raised when the one file of all embeddings cannot be written: none of the clips to come can be either.
class SharedFileError : public Error {
 public:
  using Error::Error;
};

class NpyOutput {
 public:
  explicit NpyOutput(const ExtractionOptions& options) : options_(options) {}

  void write(const Job& job, const ClipEmbedding& embedding) const {
    const fs::path target = options_.output_dir / (job.name + ".npy");
    fs::create_directories(target.parent_path());
    const auto chosen = (options_.kind == EmbeddingKind::kScene ? embedding.scene : embedding.timestamps).contiguous();
    if (options_.kind == EmbeddingKind::kTimestamp) {
      write_file_atomic(options_.output_dir / (job.name + ".timestamps.json"),
                        nlohmann::json(embedding.timestamps_ms).dump() + "\n");
    }
    io::write_npy(target, chosen.sizes().vec(), values(chosen));
  }

 private:
  const ExtractionOptions& options_;
};

class CsvOutput {
 public:
  explicit CsvOutput(const ExtractionOptions& options)
      : options_(options),
        target_(options.output_dir / "embeddings.csv"),
        temporary_(target_.string() + ".tmp"),
        out_(temporary_) {}

  void write(const Job& job, const ClipEmbedding& embedding) {
    const bool scene = options_.kind == EmbeddingKind::kScene;
    const auto rows = (scene ? embedding.scene.unsqueeze(0) : embedding.timestamps).contiguous();
    std::ostringstream text;
    if (std::exchange(first_, false)) {
      text << (scene ? "file" : "file,timestamp_ms");
      for (std::int64_t column = 0; column < rows.size(1); ++column) text << ",e" << column;
      text << "\n";
    }
    text.precision(9);  // enough to read the same float32 back
    for (std::int64_t row = 0; row < rows.size(0); ++row) {
      text << csv_quoted(job.name);
      if (!scene) text << "," << embedding.timestamps_ms[static_cast<std::size_t>(row)];
      const auto line = rows[row];
      for (const float value : values(line)) text << "," << value;
      text << "\n";
    }
    try {
      out_.append(text.str());
    } catch (const Error& failure) {
      throw SharedFileError(failure.what());
    }
  }

  void finish() {
    out_.finish();
    fs::rename(temporary_, target_);
  }

 private:
  const ExtractionOptions& options_;
  fs::path target_, temporary_;
  SyncedWriter out_;
  bool first_ = true;
};

/// Decodes a whole file; what of it is missing is said.
audio::Waveform decode(const fs::path& file, const ExtractionOptions& options) {
  auto wave = audio::decode_file(file, {}, {options.min_decoded_fraction});
  if (!wave.note.empty()) log::warn(str("taken in part: ", file.string(), ": ", wave.note));
  return wave;
}

template <typename Output>
void embed_jobs(ClipEncoder& encoder, const std::vector<Job>& jobs, const ExtractionOptions& options, Output& output,
                ExtractionReport& report) {
  const auto attempt = [&](const Job& job, const auto& action) {
    try {
      action();
    } catch (const SharedFileError&) {
      throw;
    } catch (const std::exception& failure) {
      std::string message = message_of(failure);
      const std::string file = job.file.string();
      if (message.find(file) == std::string::npos) message = file + ": " + message;
      log::error(message);
      report.failures.push_back(message);
    }
  };
  std::vector<Job> batch;
  std::vector<torch::Tensor> waveforms;
  double seconds = 0;
  const auto flush = [&] {
    if (batch.empty()) return;
    std::vector<ClipEmbedding> embeddings;
    try {
      embeddings = encoder.embed(waveforms);
    } catch (const std::exception&) {
      // The clips are embedded one by one below: only those that fail alone are lost.
    }
    for (std::size_t index = 0; index < batch.size(); ++index) {
      attempt(batch[index], [&] {
        const auto embedding = embeddings.empty() ? encoder.embed({waveforms[index]}).at(0) : embeddings.at(index);
        check_finite(embedding, batch[index].file.string());
        output.write(batch[index], embedding);
        ++report.written;
      });
    }
    batch.clear();
    waveforms.clear();
    seconds = 0;
  };
  for (std::size_t index = 0; index < jobs.size(); ++index) {
    attempt(jobs[index], [&] {
      auto decoded = decode(jobs[index].file, options);
      if (!decoded.note.empty()) ++report.partial;
      auto wave = audio::resample(std::move(decoded), encoder.sample_rate());
      seconds += wave.seconds();
      waveforms.push_back(features::as_tensor(std::move(wave)));
      batch.push_back(jobs[index]);
    });
    const bool last = index + 1 == jobs.size();
    if (last || seconds >= options.batch_seconds) {
      flush();
      log::progress(str("embedded ", report.written, " of ", jobs.size(), " files"), last);
    }
  }
}

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
  if (options.format == OutputFormat::kNpy) {
    NpyOutput output(options);
    embed_jobs(encoder, jobs, options, output, report);
  } else {
    CsvOutput output(options);
    embed_jobs(encoder, jobs, options, output, report);
    output.finish();
  }
  return report;
}

bool extract_task(ClipEncoder& encoder, const fs::path& task_dir, const ExtractionOptions& options) {
  const hear::TaskMetadata metadata = hear::load_task_metadata(task_dir);
  const int rate = choose_rate(task_dir, encoder.sample_rate(), options.resample);
  const auto embed = [&](const std::vector<fs::path>& files) {
    std::vector<torch::Tensor> waveforms;
    for (const fs::path& file : files) {
      auto wave = decode(file, options);
      AXLSTM_CHECK(wave.sample_rate == rate, file.string(), ": is at ", wave.sample_rate, " Hz in the folder of ", rate,
                   " Hz");
      waveforms.push_back(features::as_tensor(audio::resample(std::move(wave), encoder.sample_rate())));
    }
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
