#include "axlstm/hear/evaluation_record.h"

#include <algorithm>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "hear/python_json.h"

namespace axlstm::hear {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kRecordFile = "prediction-done.json";

}  // namespace

std::string embeddings_fingerprint(const fs::path& directory) {
  constexpr std::size_t kArrayBytes = 1 << 20;  // weights that differ change every value
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    const bool input = name == "task_metadata.json" || name == "labelvocabulary.csv" ||
                       name.ends_with(".embeddings.npy") || name.ends_with(".target-labels.pkl");
    if (input) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string summary;
  for (const fs::path& path : files) {
    const InputFile file(path);
    const std::uint64_t start = fnv1a64(file, 0, std::min<std::uint64_t>(kArrayBytes, file.size()));
    summary += str(path.filename().string(), " ", file.size(), " ", hex(start), "\n");
  }
  return fnv1a64_hex(summary);
}

std::optional<EvaluationRecord> read_record(const fs::path& directory) {
  const fs::path path = directory / kRecordFile;
  if (!fs::exists(path)) return {};
  const json found = read_json(path);
  if (!found.is_object() || !found.contains("grid")) return {};
  try {
    for (const char* key : {"seed", "grid_points"}) {
      AXLSTM_CHECK(found.at(key).is_number_unsigned(), path.string(), ": \"", key, "\" is ", found.at(key).dump(),
                   "; remove the file to evaluate again");
    }
    return EvaluationRecord{found.at("model"), found.at("task"),        found.at("seed"),
                            found.at("grid"),  found.at("grid_points"), found.at("embeddings")};
  } catch (const json::exception& error) {
    throw Error(str(path.string(), ": damaged (", error.what(), "); remove it to evaluate again"));
  }
}

void write_record(const fs::path& directory, const EvaluationRecord& record, const fs::path& embeddings_dir,
                  std::int64_t embedding_size, double seconds, const std::string& device) {
  const ordered_json file{{"time", seconds},
                          {"embedding_path", embeddings_dir.string()},
                          {"embedding_size", embedding_size},
                          {"grid_points", record.grid_points},
                          {"in_memory", true},
                          {"model", record.model},
                          {"task", record.task},
                          {"seed", record.seed},
                          {"grid", record.grid},
                          {"embeddings", record.embeddings},
                          {"device", device}};
  write_file_atomic(directory / kRecordFile, python_json(file, 4));
}

std::string difference(const EvaluationRecord& found, const EvaluationRecord& wanted) {
  std::string text;
  const auto compare = [&text](const char* what, const auto& a, const auto& b) {
    if (a != b) text += str(text.empty() ? "" : ", ", what, " ", a, " instead of ", b);
  };
  compare("model", found.model, wanted.model);
  compare("task", found.task, wanted.task);
  compare("seed", found.seed, wanted.seed);
  compare("grid", found.grid, wanted.grid);
  compare("grid points", found.grid_points, wanted.grid_points);
  compare("embeddings", found.embeddings, wanted.embeddings);
  return text;
}

}  // namespace axlstm::hear
