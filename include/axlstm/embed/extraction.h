// Embeddings of files, folders, packed clips and HEAR tasks, written to disk.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/audio/decode.h"
#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/options.h"

namespace axlstm::embed {

enum class OutputFormat { kNpy, kCsv };
constexpr auto enum_names(OutputFormat) { return std::array{"npy", "csv"}; }

struct ExtractionOptions {
  std::filesystem::path output_dir;
  EmbeddingKind kind = EmbeddingKind::kScene;
  OutputFormat format = OutputFormat::kNpy;
  double batch_seconds = kBatchSeconds;       ///< audio that goes through the encoder at once
  bool per_file = false;                      ///< HEAR tasks: also write each clip's own .npy
  double min_decoded_fraction = 0.9;          ///< of what a file promises; one with less is not embedded
  bool resample = false;                      ///< HEAR tasks: allow audio of another rate than the encoder's
  int side_by_side = 1;                       ///< extractions that share this machine's cores
  double long_seconds = audio::kLongSeconds;  ///< files that last longer are embedded in constant memory
};

struct ExtractionReport {
  std::int64_t written = 0;
  std::int64_t partial = 0;           ///< of the files that were decoded: those of which something is missing
  std::vector<std::string> failures;  ///< one message per file that could not be embedded
};

/// Embeds files and everything that is audio under folders, links included. npy: `<path>.npy` beside the same relative
/// path under output_dir, with `<path>.timestamps.json` (milliseconds) for timestamp embeddings; csv: one
/// `embeddings.csv` with columns file, [timestamp_ms,] e0, e1, … A file that cannot be read, embedded or written is
/// reported and passed over. Throws Error or std::filesystem::filesystem_error if nothing can be written: no output
/// folder, no room for the csv.
ExtractionReport extract_files(ClipEncoder& encoder, const std::vector<std::filesystem::path>& inputs,
                               const ExtractionOptions& options);

/// Embeds the clips of a folder that `pack` wrote (data/shards/packed.h) as extract_files does files, named by their
/// ids and in their order: from samples what their files give, to their rounding to 16 bits. A clip or a shard that is
/// damaged is reported and passed over. Throws UsageError if it was packed with another front end than the encoder's,
/// or if ids name one output twice or, with npy, none within output_dir.
ExtractionReport extract_packed(ClipEncoder& encoder, const std::filesystem::path& folder,
                                const ExtractionOptions& options);

/// Embeds a HEAR task folder into `output_dir`/<task> in the official layout (task_embeddings.h). False if this encoder
/// did it already.
bool extract_task(ClipEncoder& encoder, const std::filesystem::path& task_dir, const ExtractionOptions& options);

}  // namespace axlstm::embed
