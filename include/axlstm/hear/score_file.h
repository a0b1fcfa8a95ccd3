// test.predicted-scores.json, the official runner's file of a task's scores.
#pragma once

#include <filesystem>

namespace axlstm::hear {

inline constexpr const char* kScoreFile = "test.predicted-scores.json";

/// The primary test score (over folds: their mean) in `directory`'s score file, ours or the official runner's.
/// Throws Error naming the file if it has none.
double read_test_score(const std::filesystem::path& directory);

}  // namespace axlstm::hear
