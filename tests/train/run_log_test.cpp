#include "axlstm/train/run_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "axlstm/core/files.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::train {
namespace {

std::vector<std::int64_t> steps_in(const std::filesystem::path& file) {
  std::vector<std::int64_t> steps;
  std::istringstream lines(read_file(file));
  for (std::string line; std::getline(lines, line);) steps.push_back(nlohmann::json::parse(line).at("step"));
  return steps;
}

TEST(MetricsFile, HoldsOneObjectARecord) {
  const test::TemporaryFolder folder;
  MetricsFile(folder.path(), 0).write({3, 0.75, 0.4312, 1.2e-4, 2.5, 153});
  const auto record = nlohmann::json::parse(read_file(folder.path() / "metrics.jsonl"));
  EXPECT_EQ(record.at("step"), 3);
  EXPECT_EQ(record.at("epoch"), 0.75);
  EXPECT_EQ(record.at("loss"), 0.4312);
  EXPECT_EQ(record.at("lr"), 1.2e-4);
  EXPECT_EQ(record.at("grad_norm"), 2.5);
  EXPECT_EQ(record.at("clips_per_second"), 153);
}

TEST(MetricsFile, AResumedRunDropsWhatItWillDoAgain) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "metrics.jsonl";
  {
    MetricsFile metrics(folder.path(), 0);
    for (std::int64_t step = 1; step <= 5; ++step) metrics.write({.step = step});
  }
  MetricsFile metrics(folder.path(), 3);
  metrics.write({.step = 4});
  EXPECT_EQ(steps_in(file), (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST(MetricsFile, AHalfWrittenLastLineIsDropped) {
  for (const std::string half : {"{\"step\": 3, \"lo", "{\"step\"", "\n\n", "{\"step\": \"3\"}", "{}", "17"}) {
    const test::TemporaryFolder folder;
    const auto file = folder.write("metrics.jsonl", "{\"step\": 1}\n{\"step\": 2}\n" + half);
    MetricsFile(folder.path(), 9).write({.step = 10});
    EXPECT_EQ(steps_in(file), (std::vector<std::int64_t>{1, 2, 10})) << half;
  }
}

TEST(MetricsFile, ANewRunStartsAnEmptyFile) {
  const test::TemporaryFolder folder;
  const auto file = folder.write("metrics.jsonl", "{\"step\": 1}\n");
  MetricsFile metrics(folder.path(), 0);
  EXPECT_EQ(read_file(file), "");
}

TEST(MetricsFile, RecordsThatAFullDiskRefusesAreWrittenWhenThereIsRoom) {
  const test::TemporaryFolder folder;
  MetricsFile metrics(folder.path(), 0);
  metrics.write({.step = 1});
  const auto file = folder.path() / "metrics.jsonl";
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);  // write() then fails
  const rlimit full{std::filesystem::file_size(file) + 10, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  for (std::int64_t step = 2; step <= 4; ++step) metrics.write({.step = step});
  test::expect_error([&] { metrics.finish(); }, {file.string(), "cannot be written", "make room"});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  metrics.write({.step = 5});
  EXPECT_EQ(steps_in(file), (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
  EXPECT_NO_THROW(metrics.finish());
}

TEST(MetricsFile, AFolderThatIsMissingIsNamed) {
  test::expect_error([] { MetricsFile metrics("/no/such/folder", 0); }, {"/no/such/folder"});
}

TEST(ProgressLine, TellsWhereTheRunIs) {
  StepRecord record{640, 3.2, 0.43124, 1.2e-4, 1, 153.2, 0.021};
  EXPECT_EQ(progress_line(record, 20000),
            "epoch 3.20 | step 640/20000 | loss 0.4312 | lr 1.2e-04 | 153 clips/s | data wait 2 %");
  record.validation_loss = 0.5;
  EXPECT_NE(progress_line(record, 20000).find("| held-out loss 0.5000"), std::string::npos);
}

}  // namespace
}  // namespace axlstm::train
