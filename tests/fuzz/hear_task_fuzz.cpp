// The files of a HEAR task: metadata, vocabulary and the labels of a split. Names that become paths stay in the folder.
#include "axlstm/hear/task.h"

#include "axlstm/hear/events.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const auto& folder = fuzz::folder().path();
  for (const char* name : {"task_metadata.json", "labelvocabulary.csv", "split.json"}) fuzz::file_of(name, text);
  fuzz::accepted([&] {
    const hear::TaskMetadata metadata = hear::load_task_metadata(folder);
    for (const std::string& split : metadata.splits) fuzz::require(fuzz::stays_inside(split), "a split's name");
    fuzz::require(!hear::plan_splits(metadata).empty(), "a task that is taken has a plan");
    fuzz::require(!hear::postprocessing_points(metadata).empty(), "a task has points of its grid");
  });
  fuzz::accepted([&] {
    const hear::LabelVocabulary vocabulary = hear::load_label_vocabulary(folder);
    for (std::int64_t label = 0; label < vocabulary.size(); ++label)
      fuzz::require(vocabulary.index(vocabulary.labels()[static_cast<std::size_t>(label)]) == label, "a label's index");
  });
  fuzz::accepted([&] {
    for (const auto& clip : hear::load_scene_split(folder, "split", hear::PredictionType::kMultilabel))
      fuzz::require(fuzz::stays_inside(clip.file), "a clip's name stays in the folder");
  });
  fuzz::accepted([&] {
    for (const auto& clip : hear::load_event_split(folder, "split"))
      fuzz::require(fuzz::stays_inside(clip.file), "a clip's name stays in the folder");
  });
  return 0;
}
