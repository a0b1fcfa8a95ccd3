// A split of a HEAR task's embeddings folder, as the evaluation reads it (embed/task_embeddings.h has the layout).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/hear/pickle.h"
#include "axlstm/hear/task.h"

namespace axlstm::downstream {

struct SplitEmbeddings {
  torch::Tensor embeddings;  ///< [N, D] float32
  hear::LabelLists labels;   ///< N lists
};

/// Reads a split of an embeddings folder. Throws Error naming the file and both values if dimensions, array and
/// labels do not fit together.
SplitEmbeddings load_split_embeddings(const std::filesystem::path& directory, const std::string& split);

/// [N, C] float32: 1 for the labels of each row, else 0. `source` names the labels in errors. Throws Error for a
/// label outside the vocabulary and for a multiclass row that has not exactly one label.
torch::Tensor label_matrix(const hear::LabelLists& labels, const hear::LabelVocabulary& vocabulary,
                           hear::PredictionType prediction_type, const std::string& source);

/// Where a row of an event task's split comes from.
struct Frame {
  std::string file;  ///< a key of <split>.json
  double timestamp_ms = 0.0;
};

/// Reads <split>.filename-timestamps.json, one entry per row of the split. Throws Error naming the file if the
/// number differs from `rows`.
std::vector<Frame> load_frames(const std::filesystem::path& directory, const std::string& split, std::int64_t rows);

}  // namespace axlstm::downstream
