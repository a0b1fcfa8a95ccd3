// The scheduler with shell scripts in the place of pretrain, extract and hear-eval.
#include "axlstm/sweep/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/sweep/child.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::sweep {
namespace {

namespace fs = std::filesystem;

class SchedulerTest : public testing::Test {
 protected:
  SchedulerTest() {
    write_file_atomic(folder_.path() / "base.yaml", "model:\n  size: custom\n  dim: 16\n  depth: 2\n");
    write_file_atomic(
        folder_.path() / "sweep.yaml",
        "sweep: {base: base.yaml, layouts: [time_frequency, released]}\nhear: {tasks: [t]}\n"
        "cells:\n  - {name: a}\n  - {name: b, set: {model.expansion: 2}}\n  - {name: c, model: untrained}\n"
        "  - {name: d, model: naive}\n");
    for (const char* name : {"pretrain", "extract", "hear-eval", "finetune"}) program(name, "true");
    plan_ = load("");
    options_.stages = {Stage::kPretrain, Stage::kExtract, Stage::kEvaluate};
    options_.context.programs = folder_.path() / "bin";
    options_.context.tasks = {"/tasks/t"};
  }

  Plan load(const std::string& more) const {
    std::vector<std::string> assignments{"sweep.output=" + (folder_.path() / "out").string()};
    if (!more.empty()) assignments.push_back(more);
    return load_plan(folder_.path() / "sweep.yaml", assignments);
  }

  /// A program that notes its call and runs `body`.
  void program(const std::string& name, const std::string& body) const {
    fs::create_directories(folder_.path() / "bin");
    const fs::path path = folder_.path() / "bin" / name;
    write_file_atomic(path, str("#!/bin/sh\necho \"", name, " $*\" >> ", calls().string(), "\n", body, "\n"));
    fs::permissions(path, fs::perms::owner_all);
  }

  fs::path calls() const { return folder_.path() / "calls"; }

  std::vector<std::string> take_calls() const {
    std::vector<std::string> lines;
    if (!fs::exists(calls())) return lines;
    std::istringstream text(read_file(calls()));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    fs::remove(calls());
    return lines;
  }

  std::vector<RunStatus> run() { return run_sweep(plan_, runs_of(plan_), options_); }

  test::TemporaryFolder folder_;
  Plan plan_;
  SchedulerOptions options_;
};

TEST_F(SchedulerTest, RunsEveryStageOnceAndThenFindsItDone) {
  for (const RunStatus& status : run()) EXPECT_EQ(status.state, RunState::kDone) << status.error;
  const std::vector<std::string> first = take_calls();
  EXPECT_EQ(first.size(), 2U + 2U * (2 + 2 + 2 + 1));  // two pre-trainings; layouts are embedded and evaluated apart
  EXPECT_EQ(first[0], "pretrain --config " + (plan_.output / "cells/a.s0/sweep.yaml").string());
  EXPECT_NE(first[1].find("--layout time_frequency"), std::string::npos) << first[1];
  EXPECT_NE(read_file(plan_.output / "cells/b.s0/sweep.yaml").find("expansion: 2"), std::string::npos);

  for (const RunStatus& status : run()) EXPECT_TRUE(status.found);
  EXPECT_TRUE(take_calls().empty());

  options_.context.tasks = {"/tasks/t", "/tasks/u"};  // a new task: embedded and evaluated, nothing trained
  run();
  for (const std::string& call : take_calls()) EXPECT_FALSE(call.starts_with("pretrain")) << call;
}

TEST_F(SchedulerTest, AFailureEndsOnlyItsOwnRun) {
  program("pretrain", "case $2 in */a.s0/*) echo 'error: no audio' >&2; exit 1;; esac");
  const auto statuses = run();
  EXPECT_EQ(statuses[0].state, RunState::kFailed);
  EXPECT_NE(statuses[0].error.find("a.s0/pretrain.log: pretrain exited with 1: error: no audio"), std::string::npos)
      << statuses[0].error;
  for (std::size_t i = 1; i < statuses.size(); ++i) EXPECT_EQ(statuses[i].state, RunState::kDone);

  program("pretrain", "true");
  take_calls();
  EXPECT_EQ(run()[0].state, RunState::kDone);  // only the failed run is worked on again
  EXPECT_EQ(take_calls().size(), 5U);
}

TEST_F(SchedulerTest, StagesMayRunOnDifferentMachines) {
  options_.stages = {Stage::kExtract, Stage::kEvaluate};
  auto statuses = run();
  EXPECT_EQ(statuses[0].state, RunState::kFailed);
  EXPECT_NE(statuses[0].error.find("not pre-trained"), std::string::npos) << statuses[0].error;
  EXPECT_EQ(statuses[2].state, RunState::kDone);  // untrained

  options_.stages = {Stage::kPretrain};
  for (const RunStatus& status : run()) EXPECT_EQ(status.state, RunState::kDone) << status.error;
  options_.stages = {Stage::kExtract, Stage::kEvaluate};
  for (const RunStatus& status : run()) EXPECT_EQ(status.state, RunState::kDone) << status.error;
}

TEST_F(SchedulerTest, FineTunesEveryEncoderOnEveryTaskFromItsNewestCheckpoint) {
  const auto checkpoint = [&](const std::string& name) {
    return "mkdir -p \"$(dirname $2)/checkpoints/" + name + "\"";
  };
  program("pretrain",
          checkpoint("step-00000009") + "; " + checkpoint("step-100000000") + "; " + checkpoint("step-00000010.bak"));
  plan_ = load("finetune.tasks=t");
  plan_.finetuning.seeds = 2;
  options_.stages = {Stage::kPretrain, Stage::kFinetune};
  options_.context.finetuning_tasks = {"/tasks/t", "/tasks/u"};
  for (const RunStatus& status : run()) EXPECT_EQ(status.state, RunState::kDone) << status.error;
  const std::string cell = (plan_.output / "cells/a.s0").string();
  const auto calls = take_calls();
  ASSERT_EQ(calls.size(), 2U + 3 * 2 * 2) << "naive features are not fine-tuned";
  EXPECT_EQ(calls[4], "finetune --config " + cell + "/finetune.yaml data.task=/tasks/u train.seed=1 train.run_dir=" +
                          (plan_.output / "finetuned/a.s0_1/u").string() + " classification.encoder=" + cell +
                          "/checkpoints/step-100000000");
  EXPECT_NE(read_file(cell + "/finetune.yaml").find("name: classification"), std::string::npos);
  EXPECT_EQ(calls.back().find("classification.encoder"), std::string::npos) << "untrained: " << calls.back();
  for (const RunStatus& status : run()) EXPECT_TRUE(status.found);
  EXPECT_TRUE(take_calls().empty());

  plan_ = load_plan(folder_.path() / "sweep.yaml", {"sweep.output=" + plan_.output.string(), "finetune.tasks=t",
                                                    "finetune.seeds=2", "finetune.set.optim.epochs=99"});
  run();
  EXPECT_EQ(take_calls().size(), 3U * 2 * 2) << "another recipe is given to finetune, which knows what it means";

  fs::remove_all(plan_.output / "cells/b.s0/checkpoints");
  fs::remove(plan_.output / "cells/b.s0/finetune.done");
  const auto statuses = run();
  EXPECT_EQ(statuses[1].state, RunState::kFailed);
  EXPECT_NE(statuses[1].error.find("no checkpoint to fine-tune"), std::string::npos) << statuses[1].error;
  EXPECT_TRUE(statuses[0].found);
}

TEST_F(SchedulerTest, AFineTuningThatAKilledSweepLeftBehindIsWaitedFor) {
  plan_ = load("finetune.tasks=t");
  const fs::path lock = finetuning_folder(plan_, runs_of(plan_)[2], 0, "t") / "fold00" / ".lock";
  fs::create_directories(lock.parent_path());
  const FileLock of_program(lock);
  EXPECT_EQ(run()[2].state, RunState::kElsewhere);
}

TEST_F(SchedulerTest, RefusesARunOfAnotherRecipe) {
  run();
  fs::copy_file(plan_.output / "cells/a.s0/sweep.yaml", plan_.output / "cells/a.s0/config.yaml");  // as pretrain does
  plan_ = load("optim.base_lr=0.5");
  const auto statuses = run();
  EXPECT_EQ(statuses[0].state, RunState::kFailed);
  EXPECT_NE(statuses[0].error.find("other values of optim.base_lr"), std::string::npos) << statuses[0].error;
}

TEST_F(SchedulerTest, LeavesRunsOfOthersAlone) {
  fs::create_directories(plan_.output / "cells/b.s0");
  const FileLock other(plan_.output / "cells/b.s0/.sweep.lock");
  std::atomic<bool> stop = false;
  options_.stop = &stop;
  options_.progress = [&](const std::vector<RunStatus>& statuses) {
    // The second pass would wait for the lock: enough is seen once all others are done.
    stop = statuses[3].state == RunState::kDone;
  };
  const auto statuses = run();
  EXPECT_EQ(statuses[1].state, RunState::kElsewhere);
  EXPECT_EQ(statuses[0].state, RunState::kDone);
  EXPECT_EQ(statuses[3].state, RunState::kDone);
}

TEST_F(SchedulerTest, ALockThatCannotBeMadeIsNoOtherProcess) {
  fs::create_directories(plan_.output / "cells/b.s0/.sweep.lock");
  const auto statuses = run();
  EXPECT_EQ(statuses[1].state, RunState::kFailed);
  EXPECT_NE(statuses[1].error.find("cells/b.s0/.sweep.lock: cannot be created (Is a directory)"), std::string::npos)
      << statuses[1].error;
  EXPECT_EQ(statuses[0].state, RunState::kDone);
}

TEST_F(SchedulerTest, AStopEndsThePrograms) {
  program("pretrain", "sleep 60 & child=$!; trap 'kill $child; exit 75' TERM; wait");
  std::atomic<bool> stop = false;
  options_.stop = &stop;
  options_.jobs = 2;
  std::thread stopper([&] {
    while (!fs::exists(calls())) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    stop = true;
  });
  const auto statuses = run();
  stopper.join();
  EXPECT_EQ(statuses[0].state, RunState::kWaiting);
}

TEST_F(SchedulerTest, SpreadsTheGpus) {
  program("pretrain", "echo \"gpu $CUDA_VISIBLE_DEVICES\"");
  options_.gpus = {"7"};
  run();
  EXPECT_EQ(read_file(plan_.output / "cells/a.s0/pretrain.log"), "gpu 7\n");
}

TEST(StagesTest, ReadsLists) {
  EXPECT_EQ(parse_stages("hear-eval,extract"), (std::vector<Stage>{Stage::kExtract, Stage::kEvaluate}));
  test::expect_usage_error([] { parse_stages("train"); },
                           {"'train' is none of pretrain, extract, hear-eval, finetune"});
}

TEST(ChildTest, ReportsExitCodesAndSignals) {
  const test::TemporaryFolder folder;
  const ChildOptions options{folder.path() / "log", {{"WORD", "from here"}}};
  EXPECT_EQ(run_child({"/bin/sh", "-c", "echo \"$WORD\"; exit 7"}, options), 7);
  EXPECT_EQ(run_child({"/bin/sh", "-c", "kill -9 $$"}, options), 128 + 9);
  EXPECT_EQ(read_file(options.log), "from here\n");
  test::expect_error([&] { run_child({"/nowhere/program"}, options); }, {"/nowhere/program", "cannot be started"});
}

}  // namespace
}  // namespace axlstm::sweep
