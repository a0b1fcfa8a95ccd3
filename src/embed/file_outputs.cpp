#include "file_outputs.h"

#include <torch/torch.h>

#include <array>
#include <cstring>
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

  void write(const std::string& name, const ClipEmbedding& embedding) override {
    const auto chosen = (options_.kind == EmbeddingKind::kScene ? embedding.scene : embedding.timestamps).contiguous();
    if (options_.kind == EmbeddingKind::kTimestamp) {
      pending_.add(options_.output_dir / (name + kTimestamps), nlohmann::json(embedding.timestamps_ms).dump() + "\n");
    }
    pending_.add(options_.output_dir / (name + kArray), io::npy_bytes(chosen.sizes().vec(), values(chosen)));
    if (pending_.size() >= kMostPending) commit();
  }

  void write_steps(const std::string& name, Spool& steps, std::size_t width, double step_ms) override {
    const std::uint64_t count = steps.size() / (width * sizeof(float));
    pending_.add(options_.output_dir / (name + kTimestamps), [&](SyncedWriter& file) {
      nlohmann::json times = nlohmann::json::array();
      for (std::uint64_t step = 0; step < count; ++step) times.push_back(static_cast<double>(step) * step_ms);
      file.append(times.dump());
      file.append("\n");
    });
    pending_.add(options_.output_dir / (name + kArray), [&](SyncedWriter& file) {
      file.append(io::npy_header(std::array{static_cast<std::int64_t>(count), static_cast<std::int64_t>(width)}));
      steps.for_each_piece([&](std::string_view piece) { file.append(piece); });
    });
    commit();  // so that such files do not wait for others
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

  void write(const std::string& name, const ClipEmbedding& embedding) override {
    const bool scene = options_.kind == EmbeddingKind::kScene;
    const auto rows = (scene ? embedding.scene.unsqueeze(0) : embedding.timestamps).contiguous();
    auto text = header(static_cast<std::size_t>(rows.size(1)));
    for (std::int64_t row = 0; row < rows.size(0); ++row) {
      const auto line = rows[row];
      add_row(text, name, scene ? 0 : embedding.timestamps_ms[static_cast<std::size_t>(row)], values(line));
    }
    append(text.str());
  }

  void write_steps(const std::string& name, Spool& steps, std::size_t width, double step_ms) override {
    append(header(width).str());
    std::int64_t row = 0;
    std::vector<float> step(width);
    const auto write_rows = [&](std::string_view piece) {
      std::ostringstream text = precise();
      for (; !piece.empty(); piece.remove_prefix(width * sizeof(float))) {
        std::memcpy(step.data(), piece.data(), width * sizeof(float));
        add_row(text, name, static_cast<double>(row++) * step_ms, step);
      }
      append(text.str());
    };
    try {
      steps.for_each_piece(write_rows, width * sizeof(float));
    } catch (const SpoolError& failure) {
      throw SharedFileError(failure.what());  // some of the clip's rows are in it
    }
  }

  void finish() override {
    out_.finish();
    fs::rename(temporary_, target_);
  }

 private:
  static std::ostringstream precise() {
    std::ostringstream text;
    text.precision(9);  // enough to read the same float32 back
    return text;
  }

  /// The names of the columns, above the first row only.
  std::ostringstream header(std::size_t width) {
    std::ostringstream text = precise();
    if (!std::exchange(first_, false)) return text;
    text << (options_.kind == EmbeddingKind::kScene ? "file" : "file,timestamp_ms");
    for (std::size_t column = 0; column < width; ++column) text << ",e" << column;
    text << "\n";
    return text;
  }

  void add_row(std::ostringstream& text, const std::string& name, double timestamp_ms,
               std::span<const float> row) const {
    text << csv_quoted(name);
    if (options_.kind == EmbeddingKind::kTimestamp) text << "," << timestamp_ms;
    for (const float value : row) text << "," << value;
    text << "\n";
  }

  void append(const std::string& text) {
    try {
      out_.append(text);
    } catch (const Error& failure) {
      throw SharedFileError(failure.what());
    }
  }

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
