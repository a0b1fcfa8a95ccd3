#include "axlstm/checkpoints/checkpoint_writer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::checkpoints {
namespace {

Checkpoint at_step(std::int64_t step, const torch::Tensor& weight) {
  return {step, {{"weight", weight}}, {{"exp_avg.weight", weight}}, "model: {}\n", "abc"};
}

TEST(CheckpointWriter, WritesWhatTheTensorsWereWhenItWasCalled) {
  const test::TemporaryFolder folder;
  auto weight = torch::full({1000, 1000}, 1.0);
  {
    CheckpointWriter writer(folder.path(), {2});
    for (int step = 1; step <= 4; ++step) {
      writer.start(at_step(step, weight));
      weight.add_(1);  // training goes on
    }
    writer.finish();
    EXPECT_EQ(writer.written_step(), 4);
  }
  EXPECT_EQ(list_checkpoints(folder.path()).size(), 2U);
  const auto newest = load_newest_checkpoint(folder.path());
  EXPECT_EQ(newest->step, 4);
  EXPECT_TRUE(newest->model.at("weight").equal(torch::full({1000, 1000}, 4.0)));
}

TEST(CheckpointWriter, EndingItWaitsForTheWrite) {
  const test::TemporaryFolder folder;
  CheckpointWriter(folder.path(), {2}).start(at_step(3, torch::ones({500, 500})));
  EXPECT_EQ(load_newest_checkpoint(folder.path())->step, 3);
}

TEST(CheckpointWriter, AFailedWriteIsToldAndTheNextOneTried) {
  const test::TemporaryFolder folder;
  CheckpointWriter writer(folder.path(), {2});
  EXPECT_FALSE(writer.written_step());
  writer.start(at_step(1, torch::zeros({2}, torch::kComplexFloat)));  // cannot be stored
  test::expect_error([&] { writer.finish(); }, {"ComplexFloat"});
  EXPECT_FALSE(writer.written_step());
  writer.start(at_step(2, torch::zeros({2})));
  writer.finish();
  EXPECT_EQ(writer.written_step(), 2);
}

}  // namespace
}  // namespace axlstm::checkpoints
