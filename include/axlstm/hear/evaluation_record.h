// prediction-done.json: the note beside the scores that says what was evaluated, and that it was finished.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace axlstm::hear {

/// What decides the scores.
struct EvaluationRecord {
  std::string model, task;
  std::uint64_t seed = 0;
  std::string grid;
  int grid_points = 0;     ///< the most that were tried
  std::string embeddings;  ///< fingerprint

  bool operator==(const EvaluationRecord&) const = default;
};

/// A fingerprint of an embeddings folder: its small files and the beginning and size of its arrays.
std::string embeddings_fingerprint(const std::filesystem::path& directory);

/// The note in `directory`; none if there is no note or one that the official runner wrote, which says less.
/// Throws Error naming the file if it is damaged.
std::optional<EvaluationRecord> read_record(const std::filesystem::path& directory);

/// Written last. Holds the official runner's keys too, where they have a meaning here.
void write_record(const std::filesystem::path& directory, const EvaluationRecord& record,
                  const std::filesystem::path& embeddings_dir, std::int64_t embedding_size, double seconds,
                  const std::string& device);

/// Where they differ, as "grid fast instead of released"; empty if they are equal.
std::string difference(const EvaluationRecord& found, const EvaluationRecord& wanted);

}  // namespace axlstm::hear
