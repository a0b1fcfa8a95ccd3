#include "axlstm/downstream/task_data.h"

#include <torch/torch.h>

#include <algorithm>

#include "axlstm/core/error.h"
#include "axlstm/downstream/split_embeddings.h"

namespace axlstm::downstream {
namespace {

namespace fs = std::filesystem;

/// The rows of a split by file and time, with the events of each file.
std::vector<EventFile> load_event_files(const fs::path& directory, const std::string& split, std::int64_t rows,
                                        const hear::LabelVocabulary& vocabulary) {
  const std::string source = (directory / (split + ".filename-timestamps.json")).string();
  std::map<std::string, EventFile> known;
  for (const hear::EventClip& clip : hear::load_event_split(directory, split)) {
    EventFile& file = known[clip.file];
    for (const hear::Event& event : clip.events) {
      file.reference.push_back({vocabulary.index(event.label), event.start_ms, event.end_ms});
    }
  }
  const std::vector<Frame> frames = load_frames(directory, split, rows);
  for (std::size_t row = 0; row < frames.size(); ++row) {
    const auto file = known.find(frames[row].file);
    AXLSTM_CHECK(file != known.end(), source, ": entry ", row, ": file \"", frames[row].file, "\" is not in ", split,
                 ".json");
    file->second.rows.push_back(static_cast<std::int64_t>(row));
  }
  const auto time = [&](std::int64_t row) { return frames[static_cast<std::size_t>(row)].timestamp_ms; };
  std::vector<EventFile> files;
  for (auto& [name, file] : known) {
    file.name = name;
    if (file.rows.empty()) continue;  // only files with frames are scored
    std::sort(file.rows.begin(), file.rows.end(), [&](auto a, auto b) { return time(a) < time(b); });
    for (const std::int64_t row : file.rows) {
      const bool repeated = !file.timestamps_ms.empty() && file.timestamps_ms.back() == time(row);
      AXLSTM_CHECK(!repeated, source, ": file \"", name, "\" has two frames at ", time(row), " ms");
      file.timestamps_ms.push_back(time(row));
    }
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace

TaskData::TaskData(const fs::path& directory, torch::Device device)
    : directory_(directory), device_(device), metadata_(hear::load_task_metadata(directory)) {
  const hear::LabelVocabulary vocabulary = hear::load_label_vocabulary(directory);
  labels_ = vocabulary.labels();
  for (const std::string& split : metadata_.splits) {
    const auto [embeddings, labels] = load_split_embeddings(directory, split);
    const std::int64_t width = embeddings.size(1);
    AXLSTM_CHECK(splits_.empty() || width == D(), (directory / (split + ".embedding-dimensions.json")).string(),
                 ": embeddings of ", width, " values, split ", splits_.empty() ? split : splits_.begin()->first,
                 " has ", splits_.empty() ? width : D());
    const std::string source = (directory / (split + ".target-labels.pkl")).string();
    const auto targets = label_matrix(labels, vocabulary, metadata_.prediction_type, source);
    SplitData data{embeddings.to(device), targets.to(device)};
    if (metadata_.embedding_type == hear::EmbeddingType::kEvent) {
      data.files = std::make_shared<const std::vector<EventFile>>(
          load_event_files(directory, split, embeddings.size(0), vocabulary));
    }
    splits_[split] = std::move(data);
  }
}

std::vector<SplitData> TaskData::splits(const std::vector<std::string>& names) const {
  std::vector<SplitData> parts;
  parts.reserve(names.size());
  for (const std::string& name : names) parts.push_back(split(name));
  return parts;
}

}  // namespace axlstm::downstream
