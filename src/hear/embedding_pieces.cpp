#include "embedding_pieces.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/io/npy.h"
#include "python_json.h"

namespace axlstm::hear {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path EmbeddingPieces::array_path(const std::string& split, std::size_t index) const {
  return directory_ / str(split, ".", index, ".floats");
}

fs::path EmbeddingPieces::index_path(const std::string& split, std::size_t index) const {
  return directory_ / str(split, ".", index, ".json");
}

void EmbeddingPieces::save(const std::string& split, std::size_t index,
                           const std::vector<FileEmbedding>& embedded) const {
  fs::create_directories(directory_);
  std::vector<torch::Tensor> flat;
  json files = json::array();
  for (const FileEmbedding& file : embedded) {
    flat.push_back(file.embedding.flatten());
    files.push_back({{"shape", file.embedding.sizes().vec()}, {"timestamps_ms", file.timestamps_ms}});
  }
  const torch::Tensor values = torch::cat(flat);
  write_file_atomic(array_path(split, index), {static_cast<const char*>(values.const_data_ptr()), values.nbytes()});
  write_file_atomic(index_path(split, index), files.dump());  // last: where it is, the array is whole
}

std::optional<std::vector<FileEmbedding>> EmbeddingPieces::load(const std::string& split, std::size_t index,
                                                                std::size_t files) const {
  if (!fs::exists(index_path(split, index))) return {};
  const json entries = read_json(index_path(split, index));
  if (entries.size() != files) return {};
  std::vector<FileEmbedding> embedded;
  std::vector<std::int64_t> sizes;
  std::int64_t total = 0;
  for (const json& entry : entries) {
    const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
    sizes.push_back(c10::multiply_integers(shape));
    total += sizes.back();
    embedded.push_back({torch::empty(shape), entry.at("timestamps_ms").get<std::vector<double>>()});
  }
  const std::vector<float> values = io::read_raw_floats(array_path(split, index), total);
  auto next = values.begin();
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    std::copy_n(next, sizes[i], embedded[i].embedding.data_ptr<float>());
    next += sizes[i];
  }
  return embedded;
}

}  // namespace axlstm::hear
