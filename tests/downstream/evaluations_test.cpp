#include "axlstm/downstream/evaluations.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/files.h"
#include "axlstm/downstream/evaluation.h"
#include "axlstm/hear/score_file.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::downstream {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(AXLSTM_TEST_DATA) / "golden" / "hear";

class EvaluationsTest : public testing::Test {
 protected:
  EvaluationsTest() {
    options_.grid = "faster";
    options_.max_grid_points = 2;
  }

  Evaluation evaluation(const std::string& task, std::uint64_t seed) const {
    return {kGolden / task, "toy", seed, folder_.path() / ("toy_" + std::to_string(seed)) / task};
  }

  std::vector<Evaluation> both_tasks() const {
    return {evaluation("toymc-v1-full", 0), evaluation("toymc-v1-full", 1), evaluation("toyfold-v1-full", 0),
            evaluation("toyfold-v1-full", 1)};
  }

  test::TemporaryFolder folder_;
  EvaluationsOptions options_;
};

TEST_F(EvaluationsTest, GivesEachSeedTheScoresItHasAlone) {
  options_.jobs = 4;
  const auto evaluations = both_tasks();
  const auto together = run_evaluations(evaluations, options_);
  torch::set_num_threads(1);
  for (std::size_t i = 0; i < evaluations.size(); ++i) {
    const TaskScores alone = evaluate_task(TaskData(evaluations[i].embeddings_dir, torch::kCPU),
                                           {options_.grid, options_.max_grid_points, evaluations[i].seed});
    EXPECT_EQ(together[i].state, EvaluationState::kDone) << together[i].error;
    EXPECT_EQ(together[i].test_score, alone.test_score());
    EXPECT_FALSE(together[i].resumed);
    EXPECT_EQ(hear::read_test_score(evaluations[i].output_dir), alone.test_score());
  }
  EXPECT_EQ(together[2].models_done, 4);  // two grid points on the first fold, the better one on two more
}

TEST_F(EvaluationsTest, DoesNotRepeatWhatIsFinished) {
  const auto evaluations = both_tasks();
  run_evaluations({evaluations[0]}, options_);
  const std::string scores = read_file(evaluations[0].output_dir / "test.predicted-scores.json");
  const auto again = run_evaluations(evaluations, options_);
  EXPECT_TRUE(again[0].resumed);
  EXPECT_FALSE(again[1].resumed);
  EXPECT_EQ(read_file(evaluations[0].output_dir / "test.predicted-scores.json"), scores);

  fs::remove(evaluations[0].output_dir / "prediction-done.json");  // as if killed while the scores were written
  EXPECT_FALSE(run_evaluations({evaluations[0]}, options_)[0].resumed);
}

TEST_F(EvaluationsTest, DoesNotTakeOtherScoresForItsOwn) {
  const Evaluation first = evaluation("toymc-v1-full", 0);
  run_evaluations({first}, options_);
  options_.max_grid_points = 1;
  const auto other_grid = run_evaluations({first}, options_);
  EXPECT_EQ(other_grid[0].state, EvaluationState::kFailed);
  EXPECT_NE(other_grid[0].error.find("grid points 2 instead of 1"), std::string::npos) << other_grid[0].error;
  Evaluation other = evaluation("toyfold-v1-full", 0);
  other.output_dir = first.output_dir;
  const auto other_task = run_evaluations({other}, options_);
  EXPECT_NE(other_task[0].error.find("task toymc-v1-full instead of toyfold-v1-full"), std::string::npos);
}

TEST_F(EvaluationsTest, GoesOnAfterAFailure) {
  Evaluation missing = evaluation("toymc-v1-full", 0);
  missing.embeddings_dir = folder_.path() / "nothing";
  const auto statuses = run_evaluations({missing, evaluation("toymc-v1-full", 1)}, options_);
  EXPECT_EQ(statuses[0].state, EvaluationState::kFailed);
  EXPECT_NE(statuses[0].error.find("nothing"), std::string::npos) << statuses[0].error;
  EXPECT_EQ(statuses[1].state, EvaluationState::kDone);
}

TEST_F(EvaluationsTest, StopsBetweenEpochs) {
  std::atomic<bool> stop = false;
  options_.stop = &stop;
  options_.progress = [&](const std::vector<EvaluationStatus>& statuses) { stop = statuses[0].models_done == 1; };
  const auto statuses = run_evaluations(both_tasks(), options_);
  for (const EvaluationStatus& status : statuses) EXPECT_EQ(status.state, EvaluationState::kWaiting);
  EXPECT_FALSE(fs::exists(evaluation("toymc-v1-full", 0).output_dir / "prediction-done.json"));
}

TEST_F(EvaluationsTest, RefusesWhatCannotBeMeant) {
  const Evaluation one = evaluation("toymc-v1-full", 0);
  test::expect_usage_error(
      [&] {
        run_evaluations({one, one}, options_);
      },
      {one.output_dir.string(), "two evaluations"});
  options_.grid = "coarse";
  test::expect_usage_error([&] { run_evaluations({one}, options_); }, {"\"coarse\"", "released"});
}

}  // namespace
}  // namespace axlstm::downstream
