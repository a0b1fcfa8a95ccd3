// sweep as a user runs it: pre-training to table, killed on the way, on two "machines".
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "fixture.h"

namespace axlstm::test {
namespace {

namespace fs = std::filesystem;

/// Starts a program and kills it once a checkpoint is there.
void kill_when_there(const std::vector<std::string>& command, const fs::path& checkpoint) {
  Process killed(command);
  while (killed.running() && !fs::exists(checkpoint)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  killed.signal(SIGKILL);
  killed.wait();
}

class SweepTest : public AppTest {
 protected:
  void SetUp() override {
    AppTest::SetUp();
    folder_.write(
        "nano.yaml",
        "model: {size: custom, dim: 16, depth: 2, patch_frames: 8}\n"
        "optim: {epochs: 12, warmup_epochs: 2, global_batch: 4, base_lr: 1}\n"
        "train: {device: cpu, threads: 1, save_every_steps: 5, log_every_steps: 5, picture_every_steps: 100}\n"
        "data: {workers: 2, root: " +
            path("audio") + "}\n");
    folder_.write("sweep.yaml",
                  "sweep: {base: nano.yaml, title: Nano, columns: [model.expansion]}\n"
                  "cells:\n"
                  "  - {name: E 2, set: {model.expansion: 2}, published: 66.9}\n"
                  "  - {name: SSAST, set: {model.arch: ssast, model.attention_heads: 2}}\n"
                  "  - {name: untrained, model: untrained}\n"
                  "hear: {tasks: [" +
                      path("task") + "], grid: faster, grid_points: 1, seeds: 2, per_file: false}\n");
    write_task();
  }

  /// Six tones a split, high or low.
  void write_task() const {
    nlohmann::json metadata{{"task_name", "pitch"},
                            {"version", "v1"},
                            {"mode", "full"},
                            {"embedding_type", "scene"},
                            {"prediction_type", "multiclass"},
                            {"split_mode", "trainvaltest"},
                            {"splits", {"train", "valid", "test"}},
                            {"sample_duration", 1.0},
                            {"evaluation", {"top1_acc"}}};
    folder_.write("task/task_metadata.json", metadata.dump());
    folder_.write("task/labelvocabulary.csv", "idx,label\n0,high\n1,low\n");
    int shift = 0;  // no sound is in two splits
    for (const std::string split : {"train", "valid", "test"}) {
      shift += 7;
      nlohmann::json labels;
      for (int n = 0; n < 6; ++n) {
        const std::string file = split + std::to_string(n) + ".wav";
        labels[file] = {n % 2 == 0 ? "high" : "low"};
        write_audio(folder_.path() / "task/16000" / split / file,
                    tone(shift + (n % 2 == 0 ? 3000 + 50 * n : 200 + 20 * n), 1.0));
      }
      folder_.write("task/" + split + ".json", labels.dump());
    }
  }

  std::vector<std::string> sweep(const std::string& output, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"sweep", "--config", path("sweep.yaml"), "sweep.output=" + path(output)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

TEST_F(SweepTest, GoesOnAfterAKillToTheSameTable) {
  const ProcessResult whole = run(sweep("whole"));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  for (const char* part : {"Nano: Tasks", "E 2 ", "SSAST ", "untrained ", "66.9"}) {
    EXPECT_NE(whole.out.find(part), std::string::npos) << part << "\n" << whole.out;
  }
  for (const char* file : {"report.md", "report.tex", "report.csv", "report.html"}) {
    EXPECT_TRUE(fs::exists(folder_.path() / "whole/report" / file)) << file;
  }

  kill_when_there(sweep("killed"), path("killed/cells/e-2.s0/checkpoints/step-00000005"));
  const ProcessResult resumed = run(sweep("killed"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(read_file(path("killed/report/report.csv")), read_file(path("whole/report/report.csv")));

  const ProcessResult again = run(sweep("whole"));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_NE(again.err.find("E 2 seed 0: done already"), std::string::npos) << again.err;
  EXPECT_EQ(again.out, whole.out);
}

TEST_F(SweepTest, PretrainsOnOneMachineAndEvaluatesOnAnother) {
  ASSERT_EQ(run(sweep("there", {"--stages", "pretrain", "hear.tasks=/not/here"})).exit_code, 0);
  EXPECT_FALSE(fs::exists(path("there/scores")));
  fs::create_directories(path("here"));
  fs::copy(path("there/cells"), path("here/cells"), fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator(path("here/cells"))) {  // what evaluation does not need
    if (entry.path().filename() == "optimizer.safetensors") fs::remove(entry.path());
  }
  const ProcessResult here = run(sweep("here", {"--stages", "extract,hear-eval", "data.root=/not/here"}));
  EXPECT_EQ(here.exit_code, 0) << here.err;
  EXPECT_NE(here.out.find("SSAST"), std::string::npos) << here.out;
  const ProcessResult report = run({"sweep", "report", "--config", path("sweep.yaml"), "sweep.output=" + path("here")});
  EXPECT_EQ(report.exit_code, 0) << report.err;
  EXPECT_EQ(report.out, here.out);
}

TEST_F(SweepTest, FineTunesAndGoesOnAfterAKill) {
  folder_.write(
      "fine.yaml",
      "sweep: {base: nano.yaml, title: Nano}\n"
      "cells:\n  - {name: E 2, set: {model.expansion: 2}}\n  - {name: untrained, model: untrained}\n"
      "finetune: {tasks: [" +
          path("task") +
          "], set: {optim.epochs: 8, optim.warmup_epochs: 1, optim.global_batch: 2, optim.base_lr: 1,"
          " model.frames: 96, train.device: cpu, train.threads: 1, train.save_every_steps: 3, data.workers: 2,"
          " eval.resamples: 20}}\n");
  const auto sweep = [&](const std::string& output, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"sweep", "--config", path("fine.yaml"), "sweep.output=" + path(output)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const ProcessResult whole = run(sweep("whole"));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  for (const char* part : {"Nano, fine-tuned: Tasks", "E 2 ", "untrained ", "Fine-tuned: encoder and head"})
    EXPECT_NE(whole.out.find(part), std::string::npos) << part << "\n" << whole.out;
  const auto test = nlohmann::json::parse(read_file(path("whole/finetuned/e-2.s0_0/task/test.json")));
  EXPECT_EQ(test["task_score"]["name"], "top1_acc");
  EXPECT_EQ(test["task_score"]["value"], test["accuracy"]["value"]);
  EXPECT_FALSE(fs::exists(path("whole/scores")));

  kill_when_there(sweep("killed"), path("killed/finetuned/e-2.s0_0/task/checkpoints/step-00000003"));
  const ProcessResult resumed = run(sweep("killed"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(read_file(path("killed/report/report.csv")), read_file(path("whole/report/report.csv")));

  const ProcessResult changed = run(sweep("whole", {"finetune.set.optim.epochs=9"}));
  EXPECT_EQ(changed.exit_code, 1);
  EXPECT_NE(changed.err.find("other values of optim.epochs"), std::string::npos) << changed.err;
  const ProcessResult further = run(sweep("whole", {"optim.epochs=13", "--stages", "finetune"}));
  EXPECT_NE(further.err.find("untrained seed 0: done already"), std::string::npos) << further.err;
  const ProcessResult none = run({"sweep", "--config", path("sweep.yaml"), "--stages", "finetune"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_NE(none.err.find("finetune.tasks is empty"), std::string::npos) << none.err;
  const ProcessResult script = run(sweep("x", {"--slurm", "finetune.tasks=/not/here"}));
  EXPECT_EQ(script.exit_code, 2) << script.out;
  EXPECT_NE(script.err.find("finetune.tasks: "), std::string::npos) << script.err;
}

TEST_F(SweepTest, ListsFailuresAndGoesOn) {
  const ProcessResult result = run(sweep("failing", {"--cell", "0", "data.root=" + path("nothing")}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("failed: E 2 seed 0"), std::string::npos) << result.err;
  const ProcessResult untrained = run(sweep("failing", {"data.root=" + path("nothing")}));
  EXPECT_EQ(untrained.exit_code, 3);
  EXPECT_NE(untrained.out.find("untrained"), std::string::npos) << untrained.out;
  EXPECT_NE(untrained.out.find("Not evaluated yet: E 2; SSAST."), std::string::npos) << untrained.out;
}

TEST_F(SweepTest, TasksAreNeededOnlyWhereSomethingIsEvaluated) {
  const auto without_tasks = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"sweep", "--config", path("no_tasks.yaml"), "sweep.output=" + path("x")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  folder_.write("no_tasks.yaml", "sweep: {base: nano.yaml}\ncells:\n  - {name: only}\n");
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--list"}, {"--list", "--stages", "pretrain"}, {"--slurm", "--stages", "pretrain"}}) {
    const ProcessResult result = without_tasks(more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out, "");
  }
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--slurm"}, {"--stages", "extract"}}) {
    const ProcessResult result = without_tasks(more);
    EXPECT_EQ(result.exit_code, 2) << result.out;
    EXPECT_NE(result.err.find("hear.tasks is empty"), std::string::npos) << result.err;
  }
}

/// The batch script with programs of the test's own in place of sweep and scontrol.
class BatchScript : public SweepTest {
 protected:
  /// What `scontrol` was called with after `signals` came while the run was going on, and the script's exit code.
  std::string after(const std::string& signals, int code_of_run) {
    std::string script = run(sweep("x", {"--slurm", "--stages", "pretrain"})).out;
    const std::string program = "'" + fs::canonical(AXLSTM_BIN "/sweep").string() + "'";
    const auto at = script.find(program);
    EXPECT_NE(at, std::string::npos) << script;
    script.replace(at, program.size(), path("run"));
    folder_.write("script", script);
    folder_.write("run", "#!/bin/bash\ntrap 'exit " + std::to_string(code_of_run) + "' USR1 TERM\n: > " +
                             path("started") + "\nwhile :; do sleep 0.02; done\n");
    folder_.write("scontrol", "#!/bin/bash\necho \"$@\" >> " + path("called") + "\n");
    for (const char* name : {"run", "scontrol"}) fs::permissions(path(name), fs::perms::owner_all);
    for (const char* name : {"started", "called"}) fs::remove(path(name));
    const std::string command = "export PATH=" + path("") +
                                ":$PATH SLURM_JOB_ID=43 SLURM_ARRAY_JOB_ID=43 SLURM_ARRAY_TASK_ID=2\n"
                                "bash " +
                                path("script") +
                                " & script=$!\n"
                                "while [ ! -e " +
                                path("started") +
                                " ]; do sleep 0.02; done\n"
                                "for signal in " +
                                signals +
                                "; do kill -$signal $script; done\n"
                                "wait $script; echo $? > " +
                                path("code");
    EXPECT_EQ(std::system(("bash -c '" + command + "' 2> /dev/null").c_str()), 0);
    std::string called = fs::exists(path("called")) ? read_file(path("called")) : "";
    std::erase(called, '\n');
    std::string code = read_file(path("code"));
    std::erase(code, '\n');
    return code + " " + called;
  }
};

TEST_F(BatchScript, QueuesOnlyItsOwnTaskAgainAndNeverOneThatIsCancelled) {
  EXPECT_EQ(after("USR1", 75), "75 requeue 43_2");
  EXPECT_EQ(after("TERM", 75), "75 ");
  EXPECT_EQ(after("TERM USR1", 75), "75 ");
  EXPECT_EQ(after("USR1", 0), "0 ");
  EXPECT_EQ(after("USR1", 1), "1 ");
}

TEST_F(SweepTest, PrintsRunsAndABatchScript) {
  const ProcessResult list = run(sweep("x", {"--list"}));
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_NE(list.out.find("1  SSAST  seed 0"), std::string::npos) << list.out;
  const ProcessResult script = run(sweep("x", {"--slurm", "optim.epochs=3"}));
  EXPECT_NE(script.out.find("#SBATCH --array=0-2"), std::string::npos) << script.out;
  EXPECT_NE(script.out.find("'optim.epochs=3'"), std::string::npos) << script.out;
  EXPECT_EQ(run(sweep("x", {"--cell", "3"})).exit_code, 2);
  EXPECT_EQ(run({"sweep"}).exit_code, 2);
}

}  // namespace
}  // namespace axlstm::test
