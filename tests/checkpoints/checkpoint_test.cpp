#include "axlstm/checkpoints/checkpoint.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>

#include "axlstm/core/files.h"
#include "axlstm/io/safetensors.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::checkpoints {
namespace {

namespace fs = std::filesystem;

Checkpoint at_step(std::int64_t step) {
  const auto value = static_cast<double>(step);
  return {step,
          {{"weight", torch::full({2, 3}, value)}},
          {{"exp_avg.weight", torch::full({2, 3}, -value)}},
          "model:\n  size: tiny\n",
          "abc"};
}

class CheckpointTest : public testing::Test {
 protected:
  void save(std::int64_t step, std::int64_t keep_last = 10) const {
    save_checkpoint(run(), at_step(step), {keep_last});
  }

  const fs::path& run() const { return folder_.path(); }
  fs::path folder(const char* name) const { return run() / "checkpoints" / name; }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& path : list_checkpoints(run())) found.push_back(path.filename().string());
    return found;
  }

  std::int64_t newest_step() const { return load_newest_checkpoint(run())->step; }

  static void change(const fs::path& file, const std::function<void(std::string&)>& edit) {
    std::string bytes = read_file(file);
    edit(bytes);
    write_file_atomic(file, bytes);
  }

  test::TemporaryFolder folder_;
};

TEST_F(CheckpointTest, WhatIsSavedIsLoaded) {
  save(120);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000120"});
  const auto loaded = load_newest_checkpoint(run());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 120);
  EXPECT_TRUE(loaded->model.at("weight").equal(torch::full({2, 3}, 120.0)));
  EXPECT_TRUE(loaded->optimizer.at("exp_avg.weight").equal(torch::full({2, 3}, -120.0)));
  EXPECT_EQ(loaded->config_yaml, "model:\n  size: tiny\n");
  EXPECT_EQ(loaded->data_fingerprint, "abc");
}

TEST_F(CheckpointTest, TheBestOneStaysAndIsFound) {
  const auto save_best = [&](std::int64_t step, std::int64_t best, double score) {
    auto checkpoint = at_step(step);
    checkpoint.best_step = best;
    checkpoint.best_score = score;
    save_checkpoint(run(), checkpoint, {.keep_last = 1});
  };
  save(1, 1);
  EXPECT_EQ(best_checkpoint(run()).filename(), "step-00000001") << "nothing was scored yet";
  save_best(2, 2, 0.5);
  save_best(3, 2, 0.5);
  save_best(4, 2, 0.5);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000002", "step-00000004"}));
  EXPECT_EQ(best_checkpoint(run()).filename(), "step-00000002");
  EXPECT_EQ(load_newest_checkpoint(run())->best_step, 2);
  EXPECT_EQ(load_newest_checkpoint(run())->best_score, 0.5);
  save_best(5, 5, 0.75);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000005"});
  fs::remove_all(folder("step-00000005"));
  save_best(6, 5, 0.75);
  test::expect_error([&] { best_checkpoint(run()); }, {"step-00000005", "gone"});
}

TEST_F(CheckpointTest, ARunWithoutCheckpointsHasNone) {
  EXPECT_FALSE(load_newest_checkpoint(run()));
  EXPECT_FALSE(load_newest_checkpoint(run() / "missing"));
  EXPECT_TRUE(names().empty());
}

TEST_F(CheckpointTest, ARehearsalLeavesNothingAndSaysWhatASaveWouldFailWith) {
  save(3);
  auto checkpoint = at_step(5);
  checkpoint.ema = checkpoint.model;
  rehearse_checkpoint(run(), checkpoint);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000003"});
  EXPECT_EQ(std::distance(fs::directory_iterator(run() / "checkpoints"), fs::directory_iterator()), 1);
  const fs::path blocked = run() / "blocked";
  folder_.write("blocked/checkpoints", "a file where the folder should be");
  test::expect_error([&] { rehearse_checkpoint(blocked, checkpoint); },
                     {"no checkpoint can be saved", (blocked / "checkpoints").string(), "train.run_dir"});
}

TEST_F(CheckpointTest, OnlyTheNewestAreKept) {
  for (const std::int64_t step : {1, 20, 300, 4000, 50000}) save(step, 2);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00004000", "step-00050000"}));
  EXPECT_EQ(newest_step(), 50000);
}

TEST_F(CheckpointTest, ThoseOfEverySoManyStepsStay) {
  for (std::int64_t step = 1; step <= 9; ++step) save_checkpoint(run(), at_step(step), {2, 3});
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000003", "step-00000006", "step-00000008", "step-00000009"}));
}

TEST_F(CheckpointTest, AveragedWeightsAreKeptBesideTheOthers) {
  save(1);
  EXPECT_TRUE(load_newest_checkpoint(run())->ema.empty());
  test::expect_error([&] { load_model(run(), /*ema=*/true); }, {run().string(), "train.ema_decay"});
  auto checkpoint = at_step(2);
  checkpoint.ema["weight"] = torch::full({2, 3}, 7.0);
  save_checkpoint(run(), checkpoint, {});
  EXPECT_TRUE(load_newest_checkpoint(run())->ema.at("weight").equal(torch::full({2, 3}, 7.0)));
  for (const auto& place : {run(), folder("step-00000002")}) {
    EXPECT_TRUE(load_model(place, /*ema=*/true).tensors.at("weight").equal(torch::full({2, 3}, 7.0)));
    EXPECT_TRUE(load_model(place).tensors.at("weight").equal(torch::full({2, 3}, 2.0)));
  }
  change(folder("step-00000002") / "ema.safetensors", [](std::string& bytes) { bytes.back() ^= 1; });
  EXPECT_EQ(newest_step(), 1);
  fs::remove(folder("step-00000002") / "ema.safetensors");
  EXPECT_EQ(newest_step(), 1);
}

TEST_F(CheckpointTest, FoldersOfOtherNamesNeitherCountNorGo) {
  const std::vector<const char*> others{"step-00000001.bak", "step-1", "step-", "step-best", "step-0000000001"};
  for (const char* name : others) folder_.write(str("checkpoints/", name, "/model.safetensors"), "mine");
  save(1, 1);
  save(2, 1);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000002"});
  for (const char* name : others) EXPECT_TRUE(fs::exists(folder(name))) << name;
}

TEST_F(CheckpointTest, StepsAreOrderedByNumber) {
  for (const std::int64_t step : {99'999'998, 99'999'999, 100'000'000, 100'000'001}) save(step, 3);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-99999999", "step-100000000", "step-100000001"}));
  EXPECT_EQ(newest_step(), 100'000'001);
}

TEST_F(CheckpointTest, ADamagedNewestOneIsPassedOver) {
  const std::vector<std::pair<const char*, std::function<void(std::string&)>>> damages{
      {"model.safetensors", [](std::string& bytes) { bytes.pop_back(); }},
      {"model.safetensors", [](std::string& bytes) { bytes.back() ^= 1; }},
      {"model.safetensors", [](std::string& bytes) { bytes[20] ^= 4; }},
      {"optimizer.safetensors", [](std::string& bytes) { bytes[bytes.size() - 5] ^= 64; }},
      {"optimizer.safetensors", [](std::string& bytes) { bytes.clear(); }},
      {"config.yaml", [](std::string& bytes) { bytes[0] ^= 1; }},
      {"state.json", [](std::string& bytes) { bytes.resize(bytes.size() / 2); }},
      {"state.json", [](std::string& bytes) { bytes.clear(); }},
      {"state.json", [](std::string& bytes) { bytes = "[]"; }},
      {"state.json", [](std::string& bytes) { bytes = R"({"format": "2", "step": 2, "files": {}})"; }},
      {"state.json",
       [](std::string& bytes) { bytes = R"({"format": 2, "step": 2, "files": {"model.safetensors": 7}})"; }},
      {"state.json", [](std::string& bytes) { bytes.replace(bytes.find("\"step\": 2"), 9, "\"step\": 6"); }}};
  save(1);
  for (const auto& [file, damage] : damages) {
    save(2);
    ASSERT_EQ(newest_step(), 2);
    change(folder("step-00000002") / file, damage);
    EXPECT_EQ(newest_step(), 1) << file;
  }
  save(2);
  fs::remove(folder("step-00000002") / "optimizer.safetensors");
  EXPECT_EQ(newest_step(), 1);
}

TEST_F(CheckpointTest, DamageToATensorNamesIt) {
  auto checkpoint = at_step(1);
  checkpoint.model = {{"a", torch::ones({3})}, {"b", torch::ones({4, 5})}, {"c", torch::ones({1})}};
  save_checkpoint(run(), checkpoint, {});
  const fs::path folder = this->folder("step-00000001"), file = folder / "model.safetensors";
  const io::SafetensorsHeader header = io::SafetensorsFile(file).header();
  const std::string whole = read_file(file);
  for (const io::TensorEntry& tensor : header.tensors) {
    const std::size_t begin = header.data_offset + tensor.begin, end = header.data_offset + tensor.end;
    for (const std::size_t at : {begin, (begin + end) / 2, end - 1}) {
      change(file, [&](std::string& bytes) { (bytes = whole)[at] ^= 1 << (at % 8); });
      test::expect_error([&] { load_checkpoint(folder); }, {file.string(), "'" + tensor.name + "'", "checksum"});
      test::expect_error([&] { load_tensors(file); }, {file.string(), "'" + tensor.name + "'", "checksum"});
    }
    change(file, [&](std::string& bytes) { bytes = whole.substr(0, begin); });
    test::expect_error([&] { load_checkpoint(folder); }, {file.string(), "tensor '", "truncated"});
  }
  change(file, [&](std::string& bytes) { bytes = whole; });
  EXPECT_NO_THROW(load_checkpoint(folder));
}

// Written by the version before format 2.
TEST_F(CheckpointTest, FormatOneIsRead) {
  const fs::path old = fs::path(AXLSTM_TEST_DATA) / "checkpoints/checkpoint_format1";
  fs::create_directories(run() / "checkpoints");
  const fs::path copy = folder("step-00000001");
  fs::copy(old, copy);
  const auto loaded = load_newest_checkpoint(run());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 1);
  EXPECT_EQ(loaded->data_fingerprint, "a4fdb3d993369e91");
  EXPECT_EQ(loaded->model.at("mask_token").sizes(), (std::vector<std::int64_t>{1, 1, 4}));
  EXPECT_EQ(load_model(run(), /*ema=*/false).folder, copy);
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    change(copy / name, [](std::string& bytes) { bytes.back() ^= 1; });
    test::expect_error([&] { load_checkpoint(copy); }, {name, "tensor", "checksum"});
    fs::copy(old / name, copy / name, fs::copy_options::overwrite_existing);
  }
  change(copy / "config.yaml", [](std::string& bytes) { bytes[0] ^= 1; });
  test::expect_error([&] { load_checkpoint(copy); }, {"config.yaml", "checksum"});
}

TEST_F(CheckpointTest, EveryBitOfTheStateCounts) {
  save(1);
  save(2);
  const fs::path file = folder("step-00000002") / "state.json";
  const std::string whole = read_file(file);
  for (std::size_t at = 0; at < whole.size(); at += 3) {
    std::string damaged = whole;
    damaged[at] ^= 1 << (at % 7);
    write_file_atomic(file, damaged);
    const auto loaded = load_newest_checkpoint(run());  // never another exception, never another step
    ASSERT_TRUE(loaded);
    EXPECT_TRUE(loaded->model.at("weight").equal(torch::full({2, 3}, static_cast<double>(loaded->step)))) << at;
  }
}

TEST_F(CheckpointTest, ADamagedStateIsNamedWithWhatToDo) {
  const std::vector<std::pair<std::string, std::string>> damages{
      {"", "is empty"},
      {R"({"format": 2, "st)", "are no whole JSON"},
      {std::string(200, '\xff'), "are no whole JSON"},
      {"[]", "not a checkpoint's state"},
      {R"({"format": "2", "step": 2, "files": {}})", "not a checkpoint's state"},
      {R"({"format": 2, "step": "2", "files": {}})", "'step' or 'files'"},
      {R"({"format": 2, "step": 2, "files": {"model.safetensors": {"bytes": "many"}}})", "damaged"}};
  save(1);
  save(2);
  const fs::path newest = folder("step-00000002");
  for (const auto& [text, reason] : damages) {
    write_file_atomic(newest / "state.json", text);
    const std::string file = (newest / "state.json").string(), fix = "use another checkpoint";
    test::expect_error([&] { load_checkpoint(newest); }, {file, reason, fix});
    test::expect_error([&] { load_model(newest); }, {file, reason, fix});
    // A run goes on from the checkpoint before, also where its model is only used.
    EXPECT_EQ(newest_step(), 1) << reason;
    EXPECT_EQ(load_model(run()).folder, folder("step-00000001")) << reason;
  }
}

TEST_F(CheckpointTest, ALeftoverOfAnInterruptedWriteIsIgnored) {
  save(1);
  folder_.write("checkpoints/.writing-step-00000002/model.safetensors", "half");
  EXPECT_EQ(newest_step(), 1);
  EXPECT_EQ(names().size(), 1u);
  save(2);
  EXPECT_EQ(newest_step(), 2);
  EXPECT_FALSE(fs::exists(folder(".writing-step-00000002")));
}

TEST_F(CheckpointTest, LeftoversOfInterruptedWritesCanBeRemoved) {
  EXPECT_NO_THROW(remove_unfinished_checkpoints(run()));
  save(1);
  for (const char* name : {".writing-step-00000002", ".writing-step-00000007"})
    folder_.write(str("checkpoints/", name, "/model.safetensors"), "half");
  folder_.write("checkpoints/notes.txt", "mine");
  remove_unfinished_checkpoints(run());
  EXPECT_FALSE(fs::exists(folder(".writing-step-00000002")));
  EXPECT_FALSE(fs::exists(folder(".writing-step-00000007")));
  EXPECT_TRUE(fs::exists(folder("notes.txt")));
  EXPECT_EQ(newest_step(), 1);
}

TEST_F(CheckpointTest, IfAllAreDamagedNothingIsTrainedOver) {
  for (const std::int64_t step : {1, 2}) {
    save(step);
    change(list_checkpoints(run()).back() / "model.safetensors", [](std::string& bytes) { bytes.pop_back(); });
  }
  test::expect_error([&] { load_newest_checkpoint(run()); }, {run().string(), "all 2 checkpoints are damaged"});
}

TEST_F(CheckpointTest, ADamagedLaterOneDoesNotPushOutTheOnesWrittenNow) {
  save(1, 1);
  save(100);
  change(folder("step-00000100") / "model.safetensors", [](std::string& bytes) { bytes.pop_back(); });
  ASSERT_EQ(newest_step(), 1);
  save(2, 1);
  EXPECT_EQ(newest_step(), 2);
  save(3, 1);
  EXPECT_EQ(newest_step(), 3);
}

TEST_F(CheckpointTest, ADamagedOneIsReplacedWhenItsStepIsReachedAgain) {
  save(1);
  save(2);
  change(folder("step-00000002") / "model.safetensors", [](std::string& bytes) { bytes.pop_back(); });
  save(2);
  EXPECT_EQ(newest_step(), 2);
}

TEST_F(CheckpointTest, AFailedWriteLeavesTheOlderOnes) {
  save(1);
  auto broken = at_step(2);
  broken.model["z"] = torch::zeros({2}, torch::kComplexFloat);
  EXPECT_THROW(save_checkpoint(run(), broken, {1}), Error);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000001"});
  EXPECT_EQ(newest_step(), 1);
  EXPECT_FALSE(fs::exists(folder(".writing-step-00000002")));
  folder_.write("file", "");
  test::expect_error([&] { save_checkpoint(run() / "file", at_step(1), {1}); },
                     {(run() / "file").string(), "cannot be written"});
}

TEST_F(CheckpointTest, AModelIsFoundInARunACheckpointOrAConvertedFolder) {
  save(1);
  save(2);
  for (const auto& place : {run(), folder("step-00000002")}) {
    const auto saved = load_model(place);
    EXPECT_TRUE(saved.tensors.at("weight").equal(torch::full({2, 3}, 2.0)));
    EXPECT_EQ(saved.config_yaml, "model:\n  size: tiny\n");
    EXPECT_EQ(saved.folder, folder("step-00000002"));
  }
  const test::TemporaryFolder converted;
  fs::copy(folder("step-00000001") / "model.safetensors", converted.path() / "model.safetensors");
  test::expect_error([&] { load_model(converted.path()); }, {converted.path().string(), "no config.yaml"});
  converted.write("config.yaml", "model: {}\n");
  EXPECT_TRUE(load_model(converted.path()).tensors.at("weight").equal(torch::full({2, 3}, 1.0)));
}

TEST_F(CheckpointTest, AModelThatIsMissingOrDamagedIsNamed) {
  test::expect_error([&] { load_model(run() / "none"); }, {(run() / "none").string(), "no such folder"});
  test::expect_error([&] { load_model(run()); }, {run().string(), "model.safetensors"});
  save(1);
  change(folder("step-00000001") / "model.safetensors", [](std::string& bytes) { bytes.back() ^= 1; });
  test::expect_error([&] { load_model(folder("step-00000001")); }, {"model.safetensors", "checksum"});
}

}  // namespace
}  // namespace axlstm::checkpoints
