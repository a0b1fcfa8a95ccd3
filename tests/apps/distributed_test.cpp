// Several ranks on the CPU, as a user starts them.
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "fixture.h"
#include "support/ports.h"

namespace axlstm::test {
namespace {

/// The process of a rank that `launcher` started; waits until it is there.
pid_t process_of(pid_t launcher, int rank) {
  const std::string wanted = "RANK=" + std::to_string(rank);
  const std::string task = std::to_string(launcher);
  for (int tries = 0; tries < 500; ++tries) {
    std::istringstream children(read_file("/proc/" + task + "/task/" + task + "/children"));
    for (pid_t child = 0; children >> child;) {
      std::ifstream environment("/proc/" + std::to_string(child) + "/environ");
      for (std::string variable; std::getline(environment, variable, '\0');) {
        if (variable == wanted) return child;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ADD_FAILURE() << "the launcher has no rank " << rank;
  return -1;
}

class Distributed : public AppTest {
 protected:
  /// Learns slowly: rounding must not grow within a test.
  std::vector<std::string> command(const std::string& run, int ranks, const std::vector<std::string>& more = {}) const {
    auto arguments = pretrain(run, {"optim.base_lr=0.1", "data.workers=1"});
    if (ranks > 0) arguments.insert(arguments.begin() + 1, {"--nproc", std::to_string(ranks)});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  std::vector<double> losses(const std::string& run) const {
    std::vector<double> all;
    std::ifstream lines(path(run) + "/metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (record.is_object()) all.push_back(record.at("loss"));
    }
    return all;
  }

  void expect_same_losses(const std::string& actual, const std::string& expected) const {
    const auto a = losses(actual), b = losses(expected);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t n = 0; n < a.size(); ++n) EXPECT_NEAR(a[n], b[n], 1e-4 * b[n]) << "step " << n + 1;
  }

  void wait_for_steps(const std::string& run, std::size_t steps, Process& process) const {
    while (losses(run).size() < steps && process.running()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }

  /// A run that ends by what is done to it only.
  static std::vector<std::string> endless() { return {"optim.epochs=20000", "distributed.heartbeat_s=2"}; }
};

TEST_F(Distributed, ClassifiersTrainOnSeveralRanksAsOnOne) {
  std::string list = "path,label\n";
  for (int n = 0; n < 12; ++n) list += "tone" + std::to_string(n) + ".wav," + (n < 6 ? "low" : "high") + "\n";
  folder_.write("audio/list.csv", list);
  const auto classifier = [&](const std::string& name, int ranks) {
    auto arguments = command(name, ranks,
                             {"data.manifest=" + path("audio/list.csv"), "data.validation=" + path("audio/list.csv"),
                              "data.test=" + path("audio/list.csv"), "classification.mixup=0.5", "head.dropout=0.1",
                              "classification.drop_path=0.2", "eval.resamples=20"});
    arguments.front() = "finetune";
    return arguments;
  };
  const auto alone = run(classifier("alone", 0)), two = run(classifier("two", 2));
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  ASSERT_EQ(two.exit_code, 0) << two.err;
  expect_same_losses("two", "alone");
  const auto best = [&](const std::string& name) {
    return nlohmann::json::parse(read_file(path(name + "/test.json")))["clips"];
  };
  EXPECT_EQ(best("two"), best("alone"));
}

TEST_F(Distributed, AnyNumberOfRanksGivesTheLossesOfOne) {
  const std::vector<std::string> more{"data.validation=" + path("audio"), "train.validate_every_steps=18"};
  ASSERT_EQ(run(command("alone", 0, more)).exit_code, 0);
  const auto one = run(command("one", 1, more));
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(losses("one"), losses("alone")) << "sums over one rank change nothing";
  auto small_buckets = more;
  small_buckets.push_back("distributed.bucket_mb=0.01");
  const auto two = run(command("two", 2, small_buckets));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  expect_same_losses("two", "alone");
  EXPECT_NE(two.err.find("2 ranks on 1 machine, Gloo, started by --nproc"), std::string::npos) << two.err;
  EXPECT_NE(two.err.find("communication"), std::string::npos) << two.err;
  EXPECT_NE(two.err.find("held-out loss"), std::string::npos) << two.err;
  // Parts of 1, 1 and 2 clips, each in pieces.
  const auto three = run(command("three", 3, {"distributed.overlap=false", "train.device_batch=1"}));
  ASSERT_EQ(three.exit_code, 0) << three.err;
  expect_same_losses("three", "alone");
  for (const char* name : {"checkpoints/step-00000036/model.safetensors", "pictures/step-00000036.png", "tensorboard"})
    EXPECT_TRUE(std::filesystem::exists(folder_.path() / "two" / name)) << name;
}

TEST_F(Distributed, AMaskedAutoencoderOfTwoRanksHasTheLossesOfOne) {
  const std::vector<std::string> more{"objective.name=masked_autoencoder",
                                      "model.arch=mae",
                                      "model.expansion=3",
                                      "model.attention_heads=2",
                                      "model.class_token=false",
                                      "model.train_positions=true",
                                      "decoder.dim=16",
                                      "decoder.depth=1",
                                      "decoder.heads=2",
                                      "decoder.windows=[25, global]"};
  ASSERT_EQ(run(command("alone", 0, more)).exit_code, 0);
  const auto two = run(command("two", 2, more));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  expect_same_losses("two", "alone");
}

TEST_F(Distributed, ARunGoesOnWithAnotherNumberOfRanks) {
  ASSERT_EQ(run(command("alone", 0)).exit_code, 0);
  ASSERT_EQ(run(command("mixed", 2, {"train.max_steps=15"})).exit_code, 0);
  ASSERT_EQ(run(command("mixed", 0, {"train.max_steps=25"})).exit_code, 0);
  const auto last = run(command("mixed", 3));
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_NE(last.err.find("resuming"), std::string::npos) << last.err;
  expect_same_losses("mixed", "alone");
}

TEST_F(Distributed, ASignalToOneRankStopsAllAfterTheSameStep) {
  Process process(command("run", 2, endless()));
  wait_for_steps("run", 3, process);
  ::kill(process_of(process.pid(), 1), SIGUSR1);
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_NE(result.err.find("everything is saved"), std::string::npos) << result.err;
  auto more = endless();
  more.push_back("train.max_steps=" + std::to_string(losses("run").size() + 1));
  const auto resumed = run(command("run", 2, more));
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("resuming"), std::string::npos) << resumed.err;
}

TEST_F(Distributed, SignalsToTheLauncherReachTheRanks) {
  Process process(command("run", 2, endless()));
  wait_for_steps("run", 3, process);
  process.signal(SIGTERM);
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 75) << result.err;
}

TEST_F(Distributed, ATerminalThatGoesStopsTheRanksToo) {
  for (const int number : {SIGHUP, SIGUSR2, SIGXCPU}) {
    const std::string name = "run" + std::to_string(number);
    Process process(command(name, 2, endless()));
    wait_for_steps(name, 3, process);
    process.signal(number);
    const auto result = process.wait();
    EXPECT_EQ(result.exit_code, 75) << result.err;
    EXPECT_NE(result.err.find("everything is saved"), std::string::npos) << result.err;
  }
}

TEST_F(Distributed, UnderNohupATerminalThatGoesStopsNothing) {
  std::signal(SIGHUP, SIG_IGN);  // is inherited
  Process process(command("run", 2, {"train.max_steps=12"}));
  std::signal(SIGHUP, SIG_DFL);
  process_of(process.pid(), 1);
  process.signal(SIGHUP);
  wait_for_steps("run", 2, process);
  process.signal(SIGHUP);
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(Distributed, RanksAreCalledAsTheProgramAndWarningsComeOnce) {
  auto arguments = command("run", 2, endless());
  arguments.push_back("train.device=auto");
  Process process(arguments);
  wait_for_steps("run", 1, process);
  for (const int rank : {0, 1})
    EXPECT_EQ(read_file("/proc/" + std::to_string(process_of(process.pid(), rank)) + "/comm"), "pretrain\n");
  process.signal(SIGTERM);
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 75) << result.err;
  const std::string warning = "no usable GPU";
  const auto first = result.err.find(warning);
  if (first != std::string::npos) {  // this machine has none
    EXPECT_EQ(result.err.find(warning, first + 1), std::string::npos) << result.err;
  }
}

TEST_F(Distributed, AKilledRankIsNamedAndTheOthersEnd) {
  Process process(command("run", 2, endless()));
  wait_for_steps("run", 3, process);
  const pid_t rank = process_of(process.pid(), 1);
  ::kill(rank, SIGKILL);
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("rank 1 (process " + std::to_string(rank) + ") was killed by signal 9"), std::string::npos)
      << result.err;
}

TEST_F(Distributed, ARestartGoesOnFromTheNewestCheckpoint) {
  ASSERT_EQ(run(command("unbroken", 2)).exit_code, 0);
  auto arguments = command("run", 2, {"distributed.heartbeat_s=2"});
  arguments.insert(arguments.end(), {"--max-restarts", "1"});
  Process process(arguments);
  wait_for_steps("run", 8, process);
  ::kill(process_of(process.pid(), 0), SIGKILL);
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("rank 0 (process "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("restart 1 of 1"), std::string::npos) << result.err;
  EXPECT_EQ(losses("run"), losses("unbroken"));
}

TEST_F(Distributed, WithoutALauncherTheOthersNoticeToo) {
  for (const int victim : {1, 0}) {
    ::setenv("WORLD_SIZE", "2", 1);
    ::setenv("MASTER_ADDR", "127.0.0.1", 1);
    ::setenv("MASTER_PORT", std::to_string(free_port()).c_str(), 1);
    const std::string name = "run" + std::to_string(victim);
    std::vector<std::unique_ptr<Process>> ranks;
    for (const char* rank : {"0", "1"}) {
      ::setenv("RANK", rank, 1);
      ::setenv("LOCAL_RANK", rank, 1);
      ranks.push_back(std::make_unique<Process>(command(name, 0, endless())));
    }
    for (const char* variable : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"})
      ::unsetenv(variable);
    wait_for_steps(name, 3, *ranks[0]);
    ranks[static_cast<std::size_t>(victim)]->signal(SIGKILL);
    const auto survivor = ranks[static_cast<std::size_t>(1 - victim)]->wait();
    EXPECT_EQ(survivor.exit_code, 1) << survivor.err;
    const std::string victims_name = "rank " + std::to_string(victim) + " (";
    EXPECT_NE(survivor.err.find(victims_name), std::string::npos) << survivor.err;
    EXPECT_NE(survivor.err.find("process " + std::to_string(ranks[static_cast<std::size_t>(victim)]->pid())),
              std::string::npos)
        << survivor.err;
  }
}

TEST_F(Distributed, ARankThatFailsTellsTheOthersWhy) {
  // Rank 0 alone looks into the run's folder.
  ASSERT_EQ(run(command("run", 0, {"train.max_steps=6"})).exit_code, 0);
  const auto other_recipe = run(command("run", 2, {"model.dim=32"}));
  EXPECT_EQ(other_recipe.exit_code, 2) << other_recipe.err;
  EXPECT_NE(other_recipe.err.find("other values of model.dim"), std::string::npos) << other_recipe.err;
  EXPECT_NE(other_recipe.err.find("rank 1: rank 0"), std::string::npos) << other_recipe.err;
  const auto too_many = run(command("r", 2, {"optim.global_batch=1"}));
  EXPECT_EQ(too_many.exit_code, 2) << too_many.err;
  EXPECT_NE(too_many.err.find("optim.global_batch is 1"), std::string::npos) << too_many.err;
}

TEST_F(Distributed, TwoWaysToStartRanksAtOnceAreRefused) {
  ::setenv("RANK", "0", 1);
  ::setenv("WORLD_SIZE", "1", 1);
  ::setenv("MASTER_ADDR", "127.0.0.1", 1);
  ::setenv("MASTER_PORT", "29400", 1);
  const auto result = run(command("run", 2));
  for (const char* variable : {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) ::unsetenv(variable);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_NE(result.err.find("both start ranks"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace axlstm::test
