#include "file_outputs.h"

#include <torch/torch.h>

#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <utility>

#include "axlstm/core/csv.h"
#include "axlstm/core/files.h"
#include "axlstm/io/npy.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

constexpr const char* kArray = ".npy";
constexpr const char* kTimestamps = ".timestamps.json";
constexpr std::size_t kMostPending = 256;  // files that are open at once

std::span<const float> values(const torch::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

class NpyOutput final : public FileOutput {
 public:
  explicit NpyOutput(const ExtractionOptions& options) : options_(options) {}

  void write(const Job& job, const ClipEmbedding& embedding) override {
    const auto chosen = (options_.kind == EmbeddingKind::kScene ? embedding.scene : embedding.timestamps).contiguous();
    if (options_.kind == EmbeddingKind::kTimestamp) {
      pending_.add(options_.output_dir / (job.name + kTimestamps),
                   nlohmann::json(embedding.timestamps_ms).dump() + "\n");
    }
    pending_.add(options_.output_dir / (job.name + kArray), io::npy_bytes(chosen.sizes().vec(), values(chosen)));
    if (pending_.size() >= kMostPending) commit();
  }

  std::vector<PendingFiles::Failure> flush() override {
    commit();
    return std::exchange(failures_, {});
  }

 private:
  void commit() {
    for (auto& failure : pending_.commit()) {
      std::string clip = failure.path.string();
      for (const std::string_view ending : {std::string_view(kArray), std::string_view(kTimestamps)}) {
        if (clip.ends_with(ending)) clip.resize(clip.size() - ending.size());
      }
      failure.path = clip;
      failures_.push_back(std::move(failure));
    }
  }

  ExtractionOptions options_;
  PendingFiles pending_;
  std::vector<PendingFiles::Failure> failures_;
};

class CsvOutput final : public FileOutput {
 public:
  explicit CsvOutput(const ExtractionOptions& options)
      : options_(options),
        target_(options.output_dir / "embeddings.csv"),
        temporary_(target_.string() + ".tmp"),
        out_(temporary_) {}

  void write(const Job& job, const ClipEmbedding& embedding) override {
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

  void finish() override {
    out_.finish();
    fs::rename(temporary_, target_);
  }

 private:
  ExtractionOptions options_;
  fs::path target_, temporary_;
  SyncedWriter out_;
  bool first_ = true;
};

}  // namespace

std::unique_ptr<FileOutput> open_output(const ExtractionOptions& options) {
  if (options.format == OutputFormat::kCsv) return std::make_unique<CsvOutput>(options);
  return std::make_unique<NpyOutput>(options);
}

}  // namespace axlstm::embed
