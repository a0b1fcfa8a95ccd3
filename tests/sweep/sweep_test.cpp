#include "axlstm/sweep/sweep.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::sweep {
namespace {

class SweepTest : public testing::Test {
 protected:
  SweepArguments arguments(const std::string& stages = "pretrain") const {
    folder_.write("base.yaml", "model: {size: custom, dim: 16, depth: 1}\n");
    SweepArguments arguments;
    const std::string yaml =
        "sweep: {base: base.yaml, output: out}\ncells:\n"
        "  - {name: E 2, seeds: 2, set: {model.expansion: 2}}\n  - {name: E 3}\n";
    arguments.config = folder_.write("sweep.yaml", yaml).string();
    arguments.stages = stages;
    return arguments;
  }

  test::TemporaryFolder folder_;
};

TEST_F(SweepTest, ListsARunInALine) {
  const std::string list = Sweep(arguments()).list();
  EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 3);
  for (const char* part : {"0  E 2  seed 0", "1  E 3  seed 0", "2  E 2  seed 1"})
    EXPECT_NE(list.find(part), std::string::npos) << list;
}

TEST_F(SweepTest, TheBatchScriptHasATaskForEachRunAndQuotesWhatAShellWouldTakeApart) {
  auto with = arguments();
  with.assignments = {"data.root=/a b's"};
  const std::string script = Sweep(with).slurm_script();
  for (const char* part : {"#SBATCH --array=0-2\n", "--cell \"$SLURM_ARRAY_TASK_ID\"", "'data.root=/a b'\\''s'"})
    EXPECT_NE(script.find(part), std::string::npos) << script;
}

TEST_F(SweepTest, WhatIsNotThereIsNamedBeforeAnythingRuns) {
  const std::atomic<bool> stop{false};
  auto beyond = arguments();
  beyond.cell = 3;
  test::expect_usage_error([&] { Sweep(beyond).run(stop); }, {"--cell 3", "3 runs"});
  test::expect_usage_error([&] { Sweep(arguments("pretrain,cook")); }, {"cook"});
  test::expect_usage_error([&] { Sweep(arguments("pretrain,extract")).slurm_script(); }, {"hear.tasks"});
}

}  // namespace
}  // namespace axlstm::sweep
