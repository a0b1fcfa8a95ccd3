// The embeddings folder of a HEAR task in the official layout: what the extraction writes and the evaluation reads.
//
//   task_metadata.json labelvocabulary.csv <split>.json    byte copies from the task folder
//   <split>.embedding-dimensions.json                      [N, D]
//   <split>.embeddings.npy                                 N * D float32 values without a header, despite its name
//   <split>.target-labels.pkl                              list of N lists of labels
//   <split>.filename-timestamps.json                       event tasks: N pairs [path, milliseconds]
//   <split>/<file>.embedding.npy, .target-labels.json, .timestamps.json    optional copies for each clip
//   embeddings-source.json                                 {"source": what made them}; not in the official layout
//   .done.embeddings                                       empty, written last
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "axlstm/hear/pickle.h"
#include "axlstm/hear/task.h"

namespace axlstm::embed {

struct FileEmbedding {
  torch::Tensor embedding;            ///< float32 on the CPU; scene tasks [D], event tasks [T, D]
  std::vector<double> timestamps_ms;  ///< event tasks: T times, else empty
};

/// Embeds audio files, one result per file in their order.
using EmbedFiles = std::function<std::vector<FileEmbedding>(const std::vector<std::filesystem::path>& files)>;

struct TaskEmbeddingsOptions {
  int sample_rate = 16000;  ///< names the folder of the audio: <task>/<sample_rate>/<split>/<file>
  int batch_files = 1;      ///< files per call of EmbedFiles
  bool per_file = false;    ///< also write the copies for each clip, which the evaluation does not read
  std::string source = {};  ///< what makes the embeddings, to notice those of another model; empty: not noticed
  std::function<void(std::int64_t done, std::int64_t total)> progress = nullptr;  ///< in files; may be empty
  /// Told the files of the next call of EmbedFiles before each call, as far as they are known; may be empty.
  std::function<void(std::vector<std::filesystem::path> files)> announce = nullptr;
};

/// Embeds a task into `output_dir`/<name of the task folder>. Rows come in the official order: the keys of each
/// <split>.json shuffled by Python's Random(0), which is seeded once for all splits.
/// Returns false without doing anything if the task is already there and finished. The folder gets its name only when
/// everything is in it; a run that was killed is continued if its source is known to be the same.
/// Throws UsageError if that folder exists and is the task itself or holds no embeddings, and Error if it is finished
/// and says that another source made it.
/// Throws Error naming the file for missing audio, a label outside the vocabulary, an embedding of another shape or
/// type than the first one, and NaN or infinite values.
bool write_task_embeddings(const std::filesystem::path& task_dir, const std::filesystem::path& output_dir,
                           const EmbedFiles& embed, const TaskEmbeddingsOptions& options);

}  // namespace axlstm::embed
