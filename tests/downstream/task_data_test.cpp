#include "axlstm/downstream/task_data.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <nlohmann/json.hpp>

#include "axlstm/core/files.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::downstream {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(AXLSTM_TEST_DATA) / "golden" / "hear";

TEST(TaskDataTest, GroupsFramesByFileAndTime) {
  const TaskData task(kGolden / "toyevent-v1-full", torch::kCPU);
  const SplitData& test = task.split("test");
  ASSERT_TRUE(test.files);
  std::size_t rows = 0;
  for (const EventFile& file : *test.files) {
    rows += file.rows.size();
    EXPECT_EQ(file.rows.size(), file.timestamps_ms.size());
    EXPECT_TRUE(std::is_sorted(file.timestamps_ms.begin(), file.timestamps_ms.end()));
    EXPECT_FALSE(file.reference.empty());
  }
  EXPECT_EQ(static_cast<std::int64_t>(rows), test.embeddings.size(0));
  EXPECT_EQ(task.D(), 48);
  EXPECT_FALSE(TaskData(kGolden / "toymc-v1-full", torch::kCPU).split("test").files);
}

TEST(TaskDataTest, NamesDamagedFrames) {
  const test::TemporaryFolder folder;
  fs::copy(kGolden / "toyevent-v1-full", folder.path(), fs::copy_options::recursive);
  const fs::path path = folder.path() / "test.filename-timestamps.json";
  const auto frames = nlohmann::json::parse(read_file(path));
  const auto with_first = [&](const std::string& file, double ms) {
    auto changed = frames;
    changed[0] = {file, ms};
    write_file_atomic(path, changed.dump());
  };
  with_first("emb/test/unknown.wav", 0.0);
  test::expect_error([&] { TaskData(folder.path(), torch::kCPU); }, {"\"unknown.wav\" is not in test.json"});
  with_first(frames[1][0], frames[1][1]);
  test::expect_error([&] { TaskData(folder.path(), torch::kCPU); }, {"two frames at"});
}

TEST(TaskDataTest, NamesAMissingFoldAndAnUnknownLabel) {
  const test::TemporaryFolder folder;
  fs::copy(kGolden / "toyfold-v1-full", folder.path(), fs::copy_options::recursive);
  write_file_atomic(folder.path() / "labelvocabulary.csv", "idx,label\n0,40\n");
  test::expect_error([&] { TaskData(folder.path(), torch::kCPU); },
                     {"labelvocabulary.csv", "is not in the vocabulary"});
  fs::remove(folder.path() / "fold01.embedding-dimensions.json");
  fs::copy_file(kGolden / "toyfold-v1-full" / "labelvocabulary.csv", folder.path() / "labelvocabulary.csv",
                fs::copy_options::overwrite_existing);
  test::expect_error([&] { TaskData(folder.path(), torch::kCPU); }, {"fold01.embedding-dimensions.json"});
}

}  // namespace
}  // namespace axlstm::downstream
