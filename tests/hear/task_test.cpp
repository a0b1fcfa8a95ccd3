#include "axlstm/hear/task.h"

#include <gtest/gtest.h>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "support/expect_error.h"

namespace axlstm::hear {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

const fs::path kGolden = fs::path(AXLSTM_TEST_DATA) / "golden" / "hear";

class TaskTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const char* name, const std::string& text) const { write_file_atomic(folder_ / name, text); }

  fs::path folder_ = fs::path(testing::TempDir()) /
                     (std::string("task_") + testing::UnitTest::GetInstance()->current_test_info()->name());
};

constexpr const char* kMetadata = R"({"task_name": "t", "version": "v1", "mode": "5h", "embedding_type": "event",
  "prediction_type": "multilabel", "split_mode": "presplit_kfold", "splits": ["fold01", "fold00", "fold02"],
  "sample_duration": 120, "evaluation": ["a", "b"], "use_scoring_for_early_stopping": false, "unknown": [1],
  "evaluation_params": {"event_postprocessing_grid": {"median_filter_ms": [150], "min_duration": [50, 75.5]},
                        "task_specific_param_grid": {"max_epochs": [50]}}})";

TEST_F(TaskTest, ReadsAllKeysOfTheMetadata) {
  write("task_metadata.json", kMetadata);
  const TaskMetadata metadata = load_task_metadata(folder_);
  EXPECT_EQ(metadata.task_name, "t");
  EXPECT_EQ(metadata.version, "v1");
  EXPECT_EQ(metadata.mode, "5h");
  EXPECT_EQ(metadata.embedding_type, EmbeddingType::kEvent);
  EXPECT_EQ(metadata.prediction_type, PredictionType::kMultilabel);
  EXPECT_EQ(metadata.split_mode, SplitMode::kKFold);
  EXPECT_EQ(metadata.splits, (std::vector<std::string>{"fold01", "fold00", "fold02"}));
  EXPECT_EQ(metadata.sample_duration_seconds, 120.0);
  EXPECT_EQ(metadata.evaluation, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(metadata.use_scoring_for_early_stopping);
  EXPECT_EQ(metadata.event_postprocessing_grid.at("min_duration"), (std::vector<double>{50.0, 75.5}));
  EXPECT_EQ(metadata.task_specific_param_grid.at("max_epochs"), std::vector<double>{50.0});
}

TEST_F(TaskTest, FindsTheTasksOfFoldersAndListsOnce) {
  for (const char* task : {"some/b-v1-full", "some/a-v1-full", "other/a-v1-full"}) {
    fs::create_directories(folder_ / task);
    write((std::string(task) + "/task_metadata.json").c_str(), kMetadata);
  }
  fs::create_directories(folder_ / "none");
  const fs::path some = fs::canonical(folder_) / "some";
  const auto find = [&](const std::vector<std::string>& inputs) { return find_all_tasks(inputs, "hear.tasks"); };
  const std::vector<fs::path> both{some / "a-v1-full", some / "b-v1-full"};
  EXPECT_EQ(find({some}), both);
  EXPECT_EQ(find({some / "b-v1-full"}), std::vector<fs::path>{some / "b-v1-full"});
  EXPECT_EQ(find({some / "b-v1-full/", some}), (std::vector<fs::path>{both[1], both[0]}));
  test::expect_usage_error([&] { find({some / "missing"}); }, {"hear.tasks: ", "some/missing: no such folder"});
  test::expect_usage_error([&] { find({folder_ / "none"}); }, {"hear.tasks: ", "none: holds no HEAR task"});
  test::expect_usage_error(
      [&] {
        find({some, folder_ / "other"});
      },
      {"hear.tasks: two tasks have the folder name 'a-v1-full'", "some/a-v1-full", "other/a-v1-full"});
}

TEST_F(TaskTest, ReadsOfficialMetadataWithDefaults) {
  const TaskMetadata metadata = load_task_metadata(kGolden / "toyml-v1-full");
  EXPECT_EQ(metadata.embedding_type, EmbeddingType::kScene);
  EXPECT_EQ(metadata.sample_duration_seconds, std::nullopt);
  EXPECT_TRUE(metadata.use_scoring_for_early_stopping);
  EXPECT_TRUE(metadata.event_postprocessing_grid.empty());
}

TEST_F(TaskTest, NamesFileAndKeyOfBadMetadata) {
  const auto with = [&](const std::string& old_text, const std::string& new_text) {
    std::string text = kMetadata;
    text.replace(text.find(old_text), old_text.size(), new_text);
    write("task_metadata.json", text);
    return [this] { load_task_metadata(folder_); };
  };
  const std::string file = (folder_ / "task_metadata.json").string();
  expect_error([this] { load_task_metadata(folder_); }, {file});
  expect_error(with(R"("task_name": "t",)", ""), {file, "\"task_name\" is missing"});
  expect_error(with(R"("version": "v1")", R"("version": 1)"), {file, "\"version\": a string is needed, found 1"});
  expect_error(with("\"event\"", "\"frame\""), {file, "\"embedding_type\": \"frame\" is none of scene, event"});
  expect_error(with("presplit_kfold", "kfold"), {file, "\"split_mode\"", "trainvaltest"});
  expect_error(with(R"(["a", "b"])", "[]"), {file, "\"evaluation\" is empty"});
  expect_error(with(R"(["a", "b"])", R"(["a", 7])"), {file, "\"evaluation\"[1]"});
  expect_error(with("120", "\"long\""), {file, "\"sample_duration\": a number"});
  expect_error(with("[50]", "[]"), {file, "\"max_epochs\" has no values"});
  expect_error(with("fold00", "../fold00"), {file, "\"../fold00\" is not a plain file name"});
  expect_error(with("\"unknown\"", "unknown"), {file, "not valid JSON"});
}

TEST_F(TaskTest, LooksUpLabelsByTheirText) {
  write("labelvocabulary.csv", "idx,label\n1,\"a, \"\"b\"\"\"\n0,60\n2,NA\n");
  const LabelVocabulary vocabulary = load_label_vocabulary(folder_);
  EXPECT_EQ(vocabulary.size(), 3);
  EXPECT_EQ(vocabulary.index(Label{60}), 0);
  EXPECT_EQ(vocabulary.index(Label{"60"}), 0);
  EXPECT_EQ(vocabulary.index(Label{"a, \"b\""}), 1);
  EXPECT_EQ(vocabulary.index(Label{"NA"}), 2);
  expect_error([&] { vocabulary.index(Label{61}); }, {"labelvocabulary.csv", "\"61\"", "3 labels"});
}

TEST_F(TaskTest, RefusesDamagedVocabularies) {
  const auto load = [this] { load_label_vocabulary(folder_); };
  for (const auto& [text, part] :
       std::vector<std::pair<std::string, std::string>>{{"", "empty"},
                                                        {"idx,label\n", "no labels"},
                                                        {"id,label\n0,a\n", "no column \"idx\""},
                                                        {"idx,label\n0,a\n0,b\n", ":3: idx 0 is given twice"},
                                                        {"idx,label\n0,a\n2,b\n", ":3: idx \"2\""},
                                                        {"idx,label\n-1,a\n", "idx \"-1\""},
                                                        {"idx,label\n0,a\n1,a\n", "\"a\" is given twice"},
                                                        {"idx,label\n0\n", "1 fields"}}) {
    write("labelvocabulary.csv", text);
    expect_error(load, {"labelvocabulary.csv", part});
  }
}

TEST_F(TaskTest, ReadsSceneLabelsInTheOrderOfTheFile) {
  write("train.json", R"({"b.wav": ["dog", 5], "a.flac": []})");
  const auto clips = load_scene_split(folder_, "train", PredictionType::kMultilabel);
  ASSERT_EQ(clips.size(), 2U);
  EXPECT_EQ(clips[0].file, "b.wav");
  EXPECT_EQ(clips[0].labels, (std::vector<Label>{"dog", 5}));
  EXPECT_EQ(clips[1].file, "a.flac");
  EXPECT_TRUE(clips[1].labels.empty());
  const auto multiclass = [this] { load_scene_split(folder_, "train", PredictionType::kMulticlass); };
  expect_error(multiclass, {"train.json", "\"b.wav\"", "2 labels"});
}

TEST_F(TaskTest, RefusesDamagedSplits) {
  const auto load = [this] { load_scene_split(folder_, "train", PredictionType::kMultilabel); };
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"[]", "a JSON object is needed"},
           {"{}", "no clips"},
           {R"({"a": ["x"], "a": ["y"]})", "\"a\" is given twice"},
           {R"({"a": "x"})", "\"a\": an array"},
           {R"({"a": [1.5]})", "a string or an integer is needed, found 1.5"},
           {R"({"../a": ["x"]})", "not a plain file name"},
           {"{", "not valid JSON"}}) {
    write("train.json", text);
    expect_error(load, {"train.json", part});
  }
}

TEST_F(TaskTest, ALabelBeyond64BitsIsRefused) {
  write("train.json", R"({"a.wav": [18446744073709551615]})");
  expect_error([&] { load_scene_split(folder_, "train", PredictionType::kMultilabel); },
               {"train.json", "a.wav", "below 2^63", "18446744073709551615"});
}

TEST_F(TaskTest, ReadsEvents) {
  write("test.json", R"({"a.wav": [{"label": "cough", "start": 10, "end": 20.5, "extra": 1}], "b.wav": []})");
  const auto clips = load_event_split(folder_, "test");
  ASSERT_EQ(clips.size(), 2U);
  ASSERT_EQ(clips[0].events.size(), 1U);
  EXPECT_EQ(clips[0].events[0].label, Label{"cough"});
  EXPECT_EQ(clips[0].events[0].start_ms, 10.0);
  EXPECT_EQ(clips[0].events[0].end_ms, 20.5);
  EXPECT_TRUE(clips[1].events.empty());
  write("test.json", R"({"a.wav": [{"label": "cough", "start": 10}]})");
  expect_error([this] { load_event_split(folder_, "test"); }, {"test.json", "\"a.wav\"[0]", "\"end\" is missing"});
}

TEST(SplitPlanTest, TrainsValidatesAndTestsOnce) {
  TaskMetadata metadata;
  metadata.splits = {"train", "valid", "test"};
  const auto plans = plan_splits(metadata);
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(plans[0].train, std::vector<std::string>{"train"});
  EXPECT_EQ(plans[0].valid, std::vector<std::string>{"valid"});
  EXPECT_EQ(plans[0].test, std::vector<std::string>{"test"});
  metadata.splits = {"train", "test"};
  EXPECT_THROW(plan_splits(metadata), Error);
}

TEST(SplitPlanTest, RotatesOverSortedFolds) {
  TaskMetadata metadata;
  metadata.split_mode = SplitMode::kKFold;
  metadata.splits = {"fold03", "fold00", "fold02", "fold01"};
  const auto plans = plan_splits(metadata);
  ASSERT_EQ(plans.size(), 4U);
  EXPECT_EQ(plans[1].test, std::vector<std::string>{"fold01"});
  EXPECT_EQ(plans[1].valid, std::vector<std::string>{"fold02"});
  EXPECT_EQ(plans[1].train, (std::vector<std::string>{"fold00", "fold03"}));
  EXPECT_EQ(plans[3].test, std::vector<std::string>{"fold03"});
  EXPECT_EQ(plans[3].valid, std::vector<std::string>{"fold00"});
  EXPECT_EQ(plans[3].train, (std::vector<std::string>{"fold01", "fold02"}));
  metadata.splits = {"fold00", "fold01"};
  EXPECT_THROW(plan_splits(metadata), Error);
  metadata.splits = {"fold00", "fold01", "fold01"};
  EXPECT_THROW(plan_splits(metadata), Error);
}

}  // namespace
}  // namespace axlstm::hear
