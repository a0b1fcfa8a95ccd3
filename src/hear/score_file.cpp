#include "axlstm/hear/score_file.h"

#include <limits>
#include <optional>

#include "axlstm/core/error.h"
#include "hear/python_json.h"

namespace axlstm::hear {

double read_test_score(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kScoreFile;
  const nlohmann::json file = read_json(path);
  const auto number = [&](const char* section, const char* key) -> std::optional<double> {
    if (!file.is_object() || !file.contains(section) || !file[section].contains(key)) return {};
    const auto& value = file[section][key];
    if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
    return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
  };
  auto score = number("test", "test_score");
  if (!score) score = number("aggregated_scores", "test_score_mean");
  AXLSTM_CHECK(score, path.string(), ": neither test.test_score nor aggregated_scores.test_score_mean is a number");
  return *score;
}

}  // namespace axlstm::hear
