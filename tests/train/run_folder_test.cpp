#include "axlstm/train/run_folder.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/config/schema.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::train {
namespace {

namespace fs = std::filesystem;

std::string yaml_with(const std::string& assignment) {
  config::Node root = config::parse("{}", "test");
  config::apply_override(root, assignment);
  return config::dump(config::read(root));
}

void save_a_checkpoint(const fs::path& run, const std::string& yaml) {
  checkpoints::Checkpoint checkpoint;
  checkpoint.step = 1;
  checkpoint.model["w"] = torch::ones({2});
  checkpoint.optimizer["m"] = torch::ones({2});
  checkpoint.config_yaml = yaml;
  checkpoints::save_checkpoint(run, checkpoint, {});
}

TEST(RunFolder, IsMadeAndKeepsTheConfiguration) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "a" / "run";
  const std::string yaml = yaml_with("train.seed=3");
  const RunFolder run(path, yaml);
  EXPECT_EQ(read_file(path / "config.yaml"), yaml);
  EXPECT_TRUE(fs::is_directory(path / "pictures"));
  EXPECT_EQ(run.picture(12).filename(), "step-00000012.png");
}

TEST(RunFolder, BelongsToOneProcessWhileItLives) {
  const test::TemporaryFolder folder;
  const std::string yaml = yaml_with("train.seed=3");
  {
    const RunFolder first(folder.path(), yaml);
    EXPECT_THROW(RunFolder(folder.path(), yaml), LockedError);
  }
  EXPECT_NO_THROW(RunFolder(folder.path(), yaml));
}

TEST(RunFolder, RefusesAnotherRecipeOnceThereAreCheckpoints) {
  const test::TemporaryFolder folder;
  const std::string yaml = yaml_with("train.seed=3"), other = yaml_with("train.seed=4");
  { const RunFolder first(folder.path(), yaml); }
  EXPECT_NO_THROW(RunFolder::check_recipe(folder.path(), other)) << "nothing was trained yet";
  save_a_checkpoint(folder.path(), yaml);
  test::expect_usage_error([&] { RunFolder::check_recipe(folder.path(), other); },
                           {folder.path().string(), "train.seed", "train.run_dir"});
  test::expect_usage_error([&] { RunFolder(folder.path(), other); }, {"train.seed"});
  EXPECT_EQ(read_file(folder.path() / "config.yaml"), yaml);
  EXPECT_NO_THROW(RunFolder(folder.path(), yaml_with("train.seed=3"))) << "the lock of the refused one is free";
}

TEST(RunFolder, DeletesWhatAKilledProcessLeftUnfinished) {
  const test::TemporaryFolder folder;
  const auto unfinished = folder.path() / "checkpoints" / ".writing-step-00000002";
  fs::create_directories(unfinished);
  const RunFolder run(folder.path(), yaml_with("train.seed=3"));
  EXPECT_FALSE(fs::exists(unfinished));
}

}  // namespace
}  // namespace axlstm::train
