#include "axlstm/train/run_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/torch.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "axlstm/core/files.h"
#include "core/expect_error.h"
#include "support/png.h"
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

/// The pixel in the middle of a value's square, in one of the three panels, which are six pixels apart.
test::Rgb color_of(const test::Picture& picture, int panel, int frame, int mel) {
  return picture.at(3 * frame + 1, panel * (3 * 80 + 6) + 3 * (79 - mel) + 1);
}

TEST(WriteReconstruction, ShowsInputMaskAndPredictionOneAboveTheOther) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "picture.png";
  const model::EncoderOptions encoder;  // patches of 4 frames and 16 mels, 50 × 5 of them
  auto spectrogram = torch::zeros({1, 1, 200, 80}), prediction = torch::zeros({1, 250, 64});
  spectrogram[0][0][2][70] = 1;    // in the last patch of the first row of patches, patch 4
  spectrogram[0][0][199][3] = 1;   // in patch 245
  prediction[0][245][16 + 5] = 1;  // frame 197, mel 5
  prediction[0][4] = 1;            // not hidden: not shown
  auto mask = torch::zeros({1, 250}, torch::kBool);
  mask[0][245] = true;
  write_reconstruction(path, spectrogram, mask, prediction, encoder, {});
  const auto picture = test::read_png(path);
  EXPECT_EQ(picture.width, 3 * 200);
  ASSERT_EQ(picture.height, 3 * 3 * 80 + 2 * 6);
  EXPECT_EQ(picture.at(300, 3 * 80 + 3), test::kWhite);
  for (const int panel : {0, 1, 2}) {
    EXPECT_EQ(color_of(picture, panel, 2, 70), test::kBright) << panel;
    EXPECT_EQ(color_of(picture, panel, 3, 70), test::kDark) << panel;
  }
  EXPECT_EQ(color_of(picture, 0, 199, 3), test::kBright);
  EXPECT_EQ(color_of(picture, 0, 197, 5), test::kDark);
  EXPECT_EQ(color_of(picture, 1, 199, 3), test::kGrey);
  EXPECT_EQ(color_of(picture, 1, 196, 15), test::kGrey);
  EXPECT_EQ(color_of(picture, 1, 195, 15), test::kDark);
  EXPECT_EQ(color_of(picture, 1, 196, 16), test::kDark);
  EXPECT_EQ(color_of(picture, 2, 199, 3), test::kDark);
  EXPECT_EQ(color_of(picture, 2, 197, 5), test::kBright);
}

TEST(WriteReconstruction, TakesNormalizedPredictionsBackToThePatchsOwnScale) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "picture.png";
  auto spectrogram = torch::zeros({1, 1, 200, 80});
  spectrogram[0][0].slice(0, 0, 2).slice(1, 0, 16).fill_(1);  // half of patch 0: mean 0.5, deviation 0.504
  auto prediction = torch::full({1, 250, 64}, -2.0);          // below the scale: dark
  prediction[0][0][0] = 2;
  auto mask = torch::zeros({1, 250}, torch::kBool);
  mask[0][0] = true;
  write_reconstruction(path, spectrogram, mask, prediction, {}, {.normalize_targets = true});
  const auto picture = test::read_png(path);
  EXPECT_EQ(color_of(picture, 0, 0, 1), test::kBright);
  EXPECT_EQ(color_of(picture, 2, 0, 0), test::kBright);
  EXPECT_EQ(color_of(picture, 2, 0, 1), test::kDark);
}

TEST(WriteReconstruction, DrawsSilenceToo) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "picture.png";
  write_reconstruction(path, torch::zeros({1, 1, 200, 80}), torch::rand({1, 250}).gt(0.5), torch::randn({1, 250, 64}),
                       {}, {});
  const auto picture = test::read_png(path);
  for (const int frame : {0, 100, 199}) EXPECT_EQ(color_of(picture, 0, frame, 40), test::kDark);
}

}  // namespace
}  // namespace axlstm::train
