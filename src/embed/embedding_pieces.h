// Embeddings of a task that is being written, kept in pieces so that a killed extraction loses one piece at most
// (private to hear/).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/embed/task_embeddings.h"

namespace axlstm::embed {

class EmbeddingPieces {
 public:
  /// Pieces lie in `directory`, which is made when the first one is saved.
  explicit EmbeddingPieces(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// The embeddings of piece `index` of `split` if it was saved whole and is of `files` files; else none. A damaged
  /// piece is passed over with a warning that names file and reason: its files are embedded again, which costs minutes
  /// at most, and a new piece takes its place.
  std::optional<std::vector<FileEmbedding>> load(const std::string& split, std::size_t index, std::size_t files) const;

  /// Whether there is such a piece, whole or not.
  bool holds(const std::string& split, std::size_t index) const;

  void save(const std::string& split, std::size_t index, const std::vector<FileEmbedding>& embedded) const;

 private:
  /// Throws Error naming the file, or json::exception, if the piece is damaged.
  std::vector<FileEmbedding> read(const std::string& split, std::size_t index, std::size_t files) const;
  std::filesystem::path array_path(const std::string& split, std::size_t index) const;
  std::filesystem::path index_path(const std::string& split, std::size_t index) const;

  std::filesystem::path directory_;
};

}  // namespace axlstm::embed
