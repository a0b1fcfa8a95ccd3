#include "embedding_pieces.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/io/npy.h"
#include "hear/python_json.h"

namespace axlstm::embed {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// Values of an embedding of this shape. Throws Error for a shape that no embedding has, before memory is asked for it.
std::int64_t values_of(const std::vector<std::int64_t>& shape, const std::string& index) {
  std::int64_t values = 1;
  for (const std::int64_t size : shape) {
    AXLSTM_CHECK(size > 0 && !__builtin_mul_overflow(values, size, &values), index, ": claims a size of ", size);
  }
  AXLSTM_CHECK(!shape.empty(), index, ": claims an embedding without a size");
  return values;
}

std::string_view bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

}  // namespace

fs::path EmbeddingPieces::array_path(const std::string& split, std::size_t index) const {
  return directory_ / str(split, ".", index, ".floats");
}

fs::path EmbeddingPieces::index_path(const std::string& split, std::size_t index) const {
  return directory_ / str(split, ".", index, ".json");
}

bool EmbeddingPieces::holds(const std::string& split, std::size_t index) const {
  return fs::exists(index_path(split, index));
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
  const std::string_view bytes{static_cast<const char*>(values.const_data_ptr()), values.nbytes()};
  const json whole{
      {"files", files}, {"files_fnv1a64", fnv1a64_hex(files.dump())}, {"floats_fnv1a64", fnv1a64_hex(bytes)}};
  write_file_atomic(array_path(split, index), bytes);
  write_file_atomic(index_path(split, index), whole.dump());  // last: where it is, the array is whole
}

std::optional<std::vector<FileEmbedding>> EmbeddingPieces::load(const std::string& split, std::size_t index,
                                                                std::size_t files) const {
  const fs::path path = index_path(split, index);
  if (!holds(split, index)) return {};
  std::string reason;
  try {
    return read(split, index, files);
  } catch (const Error& failure) {
    reason = failure.what();
  } catch (const json::exception& failure) {
    reason = str(path.string(), ": lacks what a piece has (", failure.what(), ")");
  }
  log::warn(str("passing over a damaged piece of embeddings, its ", files, " files are embedded again: ", reason));
  return {};
}

std::vector<FileEmbedding> EmbeddingPieces::read(const std::string& split, std::size_t index, std::size_t files) const {
  const fs::path path = index_path(split, index);
  const std::string name = path.string();
  const json whole = hear::read_json(path);
  AXLSTM_CHECK(whole.is_object(), name, ": an object is needed, found ", whole.type_name());
  const json& entries = whole.at("files");
  AXLSTM_CHECK(fnv1a64_hex(entries.dump()) == whole.at("files_fnv1a64").get<std::string>(), name,
               ": the content does not match its checksum");
  AXLSTM_CHECK(entries.size() == files, name, ": is of ", entries.size(), " files, ", files, " are needed");
  std::vector<std::int64_t> sizes;
  std::int64_t total = 0;
  for (const json& entry : entries) {
    sizes.push_back(values_of(entry.at("shape").get<std::vector<std::int64_t>>(), name));
    AXLSTM_CHECK(!__builtin_add_overflow(total, sizes.back(), &total), name, ": claims too many values");
  }
  const fs::path array = array_path(split, index);
  const std::vector<float> values = io::read_raw_floats(array, total);
  AXLSTM_CHECK(fnv1a64_hex(bytes_of(values)) == whole.at("floats_fnv1a64").get<std::string>(), array.string(),
               ": the content does not match its checksum");
  std::vector<FileEmbedding> embedded;
  auto next = values.begin();
  for (std::size_t i = 0; i < files; ++i) {
    embedded.push_back({torch::empty(entries[i].at("shape").get<std::vector<std::int64_t>>()),
                        entries[i].at("timestamps_ms").get<std::vector<double>>()});
    std::copy_n(next, sizes[i], embedded.back().embedding.data_ptr<float>());
    next += sizes[i];
  }
  return embedded;
}

}  // namespace axlstm::embed
