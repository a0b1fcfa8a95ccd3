// What machines do to programs: signals, outputs that nobody reads, few cores, folders that take no checkpoint.
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "fixture.h"
#include "support/variables.h"

namespace axlstm::test {
namespace {

namespace fs = std::filesystem;

class Machine : public AppTest {
 protected:
  std::vector<std::string> endless(const std::string& name) const {
    return pretrain(name, {"optim.epochs=20000", "train.save_every_steps=100000"});
  }

  bool wait_for_steps(const std::string& name, Process& process) const {
    const fs::path metrics = folder_.path() / name / "metrics.jsonl";
    while (process.running()) {
      if (fs::exists(metrics) && fs::file_size(metrics) > 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  bool has_checkpoint(const std::string& name) const {
    const fs::path root = folder_.path() / name / "checkpoints";
    for (const auto& entry : fs::directory_iterator(root)) {
      if (entry.path().filename().string().starts_with("step-")) return true;
    }
    return false;
  }
};

/// A pipe whose reading end is closed.
class BrokenPipe {
 public:
  BrokenPipe() {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    ::close(ends[0]);
    write_end_ = ends[1];
  }
  ~BrokenPipe() { ::close(write_end_); }
  BrokenPipe(const BrokenPipe&) = delete;
  BrokenPipe& operator=(const BrokenPipe&) = delete;

  int descriptor() const { return write_end_; }

 private:
  int write_end_ = -1;
};

TEST_F(Machine, TheEndOfATerminalOrOfAJobsTimeSaves) {
  for (const int number : {SIGHUP, SIGUSR2, SIGXCPU}) {
    const std::string name = "run" + std::to_string(number);
    Process process(endless(name));
    ASSERT_TRUE(wait_for_steps(name, process)) << process.err();
    process.signal(number);
    const auto result = process.wait();
    EXPECT_EQ(result.exit_code, 75) << strsignal(number) << result.err;
    EXPECT_TRUE(has_checkpoint(name));
  }
}

TEST_F(Machine, UnderNohupASighupIsNotHeard) {
  std::signal(SIGHUP, SIG_IGN);  // is inherited
  Process process(endless("run"));
  std::signal(SIGHUP, SIG_DFL);
  ASSERT_TRUE(wait_for_steps("run", process)) << process.err();
  process.signal(SIGHUP);
  process.signal(SIGTERM);  // were it heard, this would be the second
  EXPECT_EQ(process.wait().exit_code, 75);
  std::signal(SIGHUP, SIG_IGN);
  Process whole(pretrain("whole"));
  std::signal(SIGHUP, SIG_DFL);
  ASSERT_TRUE(wait_for_steps("whole", whole)) << whole.err();
  whole.signal(SIGHUP);
  EXPECT_EQ(whole.wait().exit_code, 0);
}

TEST_F(Machine, ALogThatNobodyReadsIsDropped) {
  const BrokenPipe pipe;
  EXPECT_EQ(Process(pretrain("whole"), 0, pipe.descriptor()).wait().exit_code, 0);
  Process process(endless("stopped"), 0, pipe.descriptor());  // as `2>&1 | tee` after a Ctrl-C, which ends tee too
  ASSERT_TRUE(wait_for_steps("stopped", process));
  process.signal(SIGINT);
  EXPECT_EQ(process.wait().exit_code, 75);
  EXPECT_TRUE(has_checkpoint("stopped"));
}

TEST_F(Machine, ResultsThatNobodyReadsAreAFailure) {
  const BrokenPipe pipe;
  for (const char* program : {"pretrain", "extract", "hear-eval", "pack", "sweep"}) {
    for (const char* option : {"--doctor", "--help", "--version"})
      EXPECT_EQ(Process({program, option}, 0, pipe.descriptor()).wait().exit_code, 1) << program << option;
  }
  EXPECT_EQ(Process({"pretrain", "--config-reference"}, 0, pipe.descriptor()).wait().exit_code, 1);
}

TEST_F(Machine, ARunThatCannotSaveEndsBeforeItBegins) {
  const auto full = Process(pretrain("run"), /*limit_file_kb=*/8).wait();
  EXPECT_EQ(full.exit_code, 1) << full.err;
  for (const char* part : {"no checkpoint can be saved", "checkpoints/", "File too large", "train.run_dir"})
    EXPECT_NE(full.err.find(part), std::string::npos) << part << full.err;
  EXPECT_FALSE(fs::exists(path("run") + "/metrics.jsonl")) << "steps were made";
  folder_.write("blocked/checkpoints", "");
  const auto blocked = run(pretrain("blocked"));
  EXPECT_EQ(blocked.exit_code, 1);
  EXPECT_NE(blocked.err.find("no checkpoint can be saved"), std::string::npos) << blocked.err;
}

TEST_F(Machine, ProgramsTakeAsManyThreadsAsTheyMayUseCores) {
  cpu_set_t before, one;
  CPU_ZERO(&before);
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int core = 0; CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const auto bound = run({"pretrain", "--doctor"});
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  const std::string one_thread = "1 cores for this process, 1 threads an operator";
  EXPECT_NE(bound.out.find(one_thread), std::string::npos) << bound.out;
  const Variables slurm(Values{{"SLURM_CPUS_PER_TASK", "1"}});
  const auto in_slurm = run({"pretrain", "--doctor"});
  EXPECT_NE(in_slurm.out.find(one_thread), std::string::npos) << in_slurm.out;
  const Variables asked_for(Values{{"OMP_NUM_THREADS", "3"}});
  const auto own = run({"pretrain", "--doctor"});
  EXPECT_NE(own.out.find("1 cores for this process, 3 threads an operator"), std::string::npos) << own.out;
}

TEST_F(Machine, ThreadsWaitWithBoundedSpinningUnlessTheUserSaysHow) {
  const auto spin_count = [](const Values& more) {
    Variables show(Values{{"OMP_DISPLAY_ENV", "verbose"}});
    Variables variables(more);
    const auto result = run({"pretrain", "--version"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const auto at = result.err.find("GOMP_SPINCOUNT = '");
    return at == std::string::npos ? result.err : result.err.substr(at, result.err.find('\n', at) - at);
  };
  EXPECT_EQ(spin_count({}), "GOMP_SPINCOUNT = '10000'");
  EXPECT_EQ(spin_count({{"GOMP_SPINCOUNT", "77"}}), "GOMP_SPINCOUNT = '77'");
  EXPECT_EQ(spin_count({{"OMP_WAIT_POLICY", "passive"}}), "GOMP_SPINCOUNT = '0'");
}

}  // namespace
}  // namespace axlstm::test
