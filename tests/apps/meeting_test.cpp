// Ranks that wait for each other, started by variables as a launcher would.
#include <csignal>
#include <memory>
#include <thread>

#include "fixture.h"
#include "support/ports.h"
#include "support/variables.h"

namespace axlstm::test {
namespace {

class Meeting : public AppTest {
 protected:
  std::unique_ptr<Process> start(int rank, int count, const Values& more = {}) const {
    const Variables launcher(Values{{"RANK", std::to_string(rank)},
                                    {"WORLD_SIZE", std::to_string(count)},
                                    {"LOCAL_RANK", std::to_string(rank)},
                                    {"MASTER_ADDR", "127.0.0.1"},
                                    {"MASTER_PORT", std::to_string(port_)}});
    const Variables variables(more);
    return std::make_unique<Process>(pretrain("run", {"data.workers=1"}));
  }

  /// Until the process has said so, or ended.
  static void wait_for_words(Process& process, const std::string& words) {
    while (process.running() && process.err().find(words) == std::string::npos)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }

  static void expect(const ProcessResult& result, int code, std::initializer_list<const char*> parts) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const char* part : parts) EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n" << result.err;
    for (const char* trace : {"Exception raised from", "frame #", "libtorch", "socket.cpp"})
      EXPECT_EQ(result.err.find(trace), std::string::npos) << result.err;
  }

  int port_ = free_port();
};

TEST_F(Meeting, WaitingRanksSayForWhomAndHearASignal) {
  const auto first = start(0, 4), last = start(3, 4);
  wait_for_words(*first, "waiting for");
  first->signal(SIGTERM);
  expect(first->wait(), 75,
         {"waiting for ranks 1, 2 of 4", "to train alone", "env -u WORLD_SIZE", "stopped by a signal"});
  expect(last->wait(), 75, {"the same command starts it"});
  const auto alone = start(2, 4);
  wait_for_words(*alone, "waiting for rank 0");
  alone->signal(SIGUSR1);
  expect(alone->wait(), 75, {"waiting for rank 0 (at 127.0.0.1:", "to train alone", "stopped by a signal"});
}

TEST_F(Meeting, ASignalToARankThatWaitsEndsTheOneThatKeepsTheStore) {
  const auto first = start(0, 3), second = start(1, 3);
  wait_for_words(*first, "waiting for rank 2 of 3");
  second->signal(SIGTERM);
  expect(second->wait(), 75, {"stopped by a signal"});
  expect(first->wait(), 75, {"another rank was told to stop"});
}

TEST_F(Meeting, HostsAndPortsThatCannotBeAreSaidAtOnce) {
  for (const int rank : {0, 1})
    expect(start(rank, 2, {{"MASTER_ADDR", "no-such-host.invalid"}})->wait(), 1,
           {"no-such-host.invalid", "MASTER_ADDR"});
  expect(start(0, 2, {{"MASTER_PORT", "99999"}})->wait(), 2, {"MASTER_PORT", "'99999'", "65535"});
}

/// As under an mpirun whose daemons srun started.
TEST_F(Meeting, MpichWithinASlurmJob) {
  std::vector<std::unique_ptr<Process>> ranks;
  for (const int rank : {0, 1}) {
    const Variables variables(Values{{"PMI_RANK", std::to_string(rank)},
                                     {"PMI_SIZE", "2"},
                                     {"MPI_LOCALRANKID", std::to_string(rank)},
                                     {"MPI_LOCALNRANKS", "2"},
                                     {"MASTER_PORT", std::to_string(port_)},
                                     {"SLURM_PROCID", "0"},
                                     {"SLURM_STEP_NUM_TASKS", "2"},
                                     {"SLURM_LOCALID", "0"},
                                     {"SLURM_JOB_ID", "6"},
                                     {"SLURM_STEP_ID", "0"},
                                     {"SLURM_JOB_NODELIST", "n1"},
                                     {"SLURM_STEP_NODELIST", "n1"}});
    ranks.push_back(std::make_unique<Process>(pretrain("run", {"data.workers=1", "train.max_steps=4"})));
  }
  const auto first = ranks[0]->wait(), second = ranks[1]->wait();
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_NE(first.err.find("2 ranks on 1 machine, Gloo, started by the mpirun of MPICH"), std::string::npos)
      << first.err;
}

TEST_F(Meeting, AnInteractiveStepOfSlurmTrainsAlone) {
  const Variables step(Values{{"SLURM_PROCID", "0"},
                              {"SLURM_STEP_NUM_TASKS", "4"},
                              {"SLURM_LOCALID", "0"},
                              {"SLURM_JOB_ID", "7"},
                              {"SLURM_STEP_ID", "0"},
                              {"SLURM_STEP_NODELIST", "n1"},
                              {"SLURM_PTY_PORT", "36319"},
                              {"SLURM_TASK_PID", "1"}});
  expect(run(pretrain("alone", {"train.max_steps=2"})), 0, {"interactive step", "training alone"});
  auto arguments = pretrain("two", {"train.max_steps=2", "data.workers=1"});
  arguments.insert(arguments.begin() + 1, {"--nproc", "2"});
  expect(run(arguments), 0, {"2 ranks on 1 machine", "--nproc"});
}

}  // namespace
}  // namespace axlstm::test
