#include "axlstm/downstream/split_embeddings.h"

#include <torch/torch.h>

#include <limits>

#include "axlstm/core/error.h"
#include "axlstm/io/npy.h"
#include "hear/python_json.h"

namespace axlstm::downstream {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// [N, D] of <split>.embedding-dimensions.json.
std::pair<std::int64_t, std::int64_t> read_dimensions(const fs::path& directory, const std::string& split) {
  const fs::path path = directory / (split + ".embedding-dimensions.json");
  const json found = hear::read_json(path);
  const auto is_size = [](const json& value) { return value.is_number_unsigned() && value.get<std::int64_t>() > 0; };
  AXLSTM_CHECK(found.is_array() && found.size() == 2 && is_size(found[0]) && is_size(found[1]), path.string(),
               ": two positive sizes [N, D] are needed, found ", found.dump());
  return {found[0].get<std::int64_t>(), found[1].get<std::int64_t>()};
}

}  // namespace

SplitEmbeddings load_split_embeddings(const fs::path& directory, const std::string& split) {
  const auto [N, D] = read_dimensions(directory, split);
  const fs::path array = directory / (split + ".embeddings.npy");
  const fs::path labels = directory / (split + ".target-labels.pkl");
  AXLSTM_CHECK(N <= std::numeric_limits<std::int64_t>::max() / 4 / D, array.string(), ": [", N, ", ", D,
               "] values cannot be stored");
  SplitEmbeddings loaded;
  loaded.labels = hear::read_label_pickle(labels);
  AXLSTM_CHECK(static_cast<std::int64_t>(loaded.labels.size()) == N, labels.string(), ": ", loaded.labels.size(),
               " rows of labels, but ", split, ".embedding-dimensions.json says ", N);
  std::vector<float> values = io::read_raw_floats(array, N * D);
  // A copy in torch's own memory: its alignment decides the last digits of matrix products.
  loaded.embeddings = torch::from_blob(values.data(), {N, D}, torch::kFloat32).clone();
  AXLSTM_CHECK(torch::isfinite(loaded.embeddings).all().item<bool>(), array.string(), ": NaN or infinite values");
  return loaded;
}

torch::Tensor label_matrix(const hear::LabelLists& labels, const hear::LabelVocabulary& vocabulary,
                           hear::PredictionType prediction_type, const std::string& source) {
  torch::Tensor matrix = torch::zeros({static_cast<std::int64_t>(labels.size()), vocabulary.size()});
  auto cells = matrix.accessor<float, 2>();
  for (std::size_t row = 0; row < labels.size(); ++row) {
    AXLSTM_CHECK(prediction_type == hear::PredictionType::kMultilabel || labels[row].size() == 1, source, ": row ", row,
                 " has ", labels[row].size(), " labels, a multiclass task needs exactly 1");
    for (const hear::Label& label : labels[row]) cells[static_cast<std::int64_t>(row)][vocabulary.index(label)] = 1.0F;
  }
  return matrix;
}

std::vector<Frame> load_frames(const fs::path& directory, const std::string& split, std::int64_t rows) {
  const fs::path path = directory / (split + ".filename-timestamps.json");
  const json found = hear::read_json(path);
  AXLSTM_CHECK(found.is_array(), path.string(), ": an array is needed, found ", found.type_name());
  AXLSTM_CHECK(static_cast<std::int64_t>(found.size()) == rows, path.string(), ": ", found.size(), " frames, but ",
               split, ".embedding-dimensions.json says ", rows);
  std::vector<Frame> frames;
  frames.reserve(found.size());
  for (const json& pair : found) {
    AXLSTM_CHECK(pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_number(), path.string(),
                 ": entry ", frames.size(), " is no pair [path, milliseconds]");
    frames.push_back({fs::path(pair[0].get<std::string>()).filename().string(), pair[1].get<double>()});
  }
  return frames;
}

}  // namespace axlstm::downstream
