// The files beside an evaluation's scores, the official runner's among them, and the table of published results.
#include "axlstm/hear/evaluation_record.h"
#include "axlstm/hear/score_file.h"
#include "axlstm/report/published.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const auto& folder = fuzz::folder().path();
  for (const char* name : {hear::kScoreFile, "prediction-done.json"}) fuzz::file_of(name, text);
  fuzz::accepted([&] { hear::read_test_score(folder); });
  fuzz::accepted([&] {
    const auto record = hear::read_record(folder);
    if (!record) return;
    hear::write_record(folder, *record, "embeddings", 1, 0.5, "cpu");
    fuzz::require(hear::read_record(folder) == record, "a record survives a round trip");
  });
  fuzz::accepted([&] {
    for (const auto& row : report::parse_published(text, "input"))
      fuzz::require(row.scores.size() == report::paper_tasks().size(), "a published row has a score for each task");
  });
  return 0;
}
