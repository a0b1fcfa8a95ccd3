#include "axlstm/launch/rank.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "support/expect_error.h"

namespace axlstm::launch {
namespace {

using Variables = std::map<std::string, std::string>;

Environment environment(const Variables& variables) {
  return [&variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

/// A task that is this process, or runs in this process's group.
SlurmTask ours(std::int64_t) { return {true, std::nullopt}; }

std::optional<Rank> rank_of(const Variables& variables, const LookAtTask& look = ours, std::string* note = nullptr) {
  return rank_from(environment(variables), note, look);
}

const Variables kTorchrun{
    {"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29400"}};
const Variables kSlurm{{"SLURM_PROCID", "3"},  {"SLURM_STEP_NUM_TASKS", "4"},         {"SLURM_LOCALID", "1"},
                       {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NODELIST", "gpu[07-08]"}, {"SLURM_JOB_ID", "123"}};
const Variables kOpenMpi{{"OMPI_COMM_WORLD_RANK", "1"},
                         {"OMPI_COMM_WORLD_SIZE", "2"},
                         {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};

const Variables kMpich{{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "4"}};
/// Typed into the shell of `srun --ntasks=4 --pty bash`.
const Variables kInteractive{{"SLURM_PROCID", "0"},       {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_LOCALID", "0"},
                             {"SLURM_STEP_ID", "0"},      {"SLURM_STEP_NODELIST", "n1"}, {"SLURM_JOB_ID", "7"},
                             {"SLURM_PTY_PORT", "36319"}, {"SLURM_TASK_PID", "13254"}};

Variables with(Variables variables, const Variables& more) {
  for (const auto& [name, value] : more) variables[name] = value;
  return variables;
}

Variables without(Variables variables, const std::string& name) {
  variables.erase(name);
  return variables;
}

void expect_rejected(const Variables& variables, std::initializer_list<std::string> parts) {
  test::expect_usage_error([&] { rank_of(variables); }, parts);
}

TEST(RankFrom, AProcessStartedAloneHasNone) {
  EXPECT_FALSE(rank_of({}));
  EXPECT_FALSE(rank_of({{"MASTER_ADDR", "node7"}}));
}

TEST(RankFrom, ReadsTorchrun) {
  const auto rank = rank_of(kTorchrun);
  ASSERT_TRUE(rank);
  EXPECT_EQ(rank->rank, 5);
  EXPECT_EQ(rank->world_size, 8);
  EXPECT_EQ(rank->local_rank, 1);
  EXPECT_EQ(rank->address, "node7");
  EXPECT_EQ(rank->port, 29400);
  EXPECT_FALSE(rank->store_is_kept);
}

TEST(RankFrom, UsesTheStoreThatTorchrunKeeps) {
  const auto rank =
      rank_of(with(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}, {"TORCHELASTIC_RESTART_COUNT", "2"}}));
  ASSERT_TRUE(rank);
  EXPECT_TRUE(rank->store_is_kept);
}

TEST(RankFrom, OneRankOfTorchrunIsARankToo) {
  const auto rank =
      rank_of({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "29400"}});
  ASSERT_TRUE(rank);
  EXPECT_EQ(rank->local_rank, 0);
}

TEST(RankFrom, ReadsSlurm) {
  const auto rank = rank_of(kSlurm);
  ASSERT_TRUE(rank);
  EXPECT_EQ(rank->rank, 3);
  EXPECT_EQ(rank->world_size, 4);
  EXPECT_EQ(rank->local_rank, 1);
  EXPECT_EQ(rank->address, "gpu07");
  const auto next_step = rank_of(with(kSlurm, {{"SLURM_STEP_ID", "1"}}));
  const auto next_job = rank_of(with(kSlurm, {{"SLURM_JOB_ID", "124"}}));
  EXPECT_NE(next_step->port, rank->port) << "steps of a job must not meet each other";
  EXPECT_NE(next_job->port, rank->port);
}

TEST(RankFrom, SlurmsVariablesOutsideOfSrunMeanNothing) {
  EXPECT_FALSE(rank_of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_LOCALID", "0"}}));
  EXPECT_FALSE(rank_of(with(kSlurm, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}})));
}

TEST(RankFrom, TorchrunUnderSrunWins) { EXPECT_EQ(rank_of(with(kSlurm, kTorchrun))->rank, 5); }

TEST(RankFrom, MasterAddressAndPortWinOverSlurmsNodes) {
  const auto rank = rank_of(with(kSlurm, {{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "4000"}}));
  EXPECT_EQ(rank->address, "10.0.0.1");
  EXPECT_EQ(rank->port, 4000);
}

TEST(RankFrom, ReadsOpenMpi) {
  const auto rank = rank_of(kOpenMpi);
  ASSERT_TRUE(rank);
  EXPECT_EQ(rank->rank, 1);
  EXPECT_EQ(rank->address, "127.0.0.1");
  const auto several = with(kOpenMpi, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}});
  expect_rejected(several, {"-x MASTER_ADDR"});
  EXPECT_EQ(rank_of(with(several, {{"MASTER_ADDR", "node1"}}))->address, "node1");
}

TEST(RankFrom, ReadsMpichAndIntelMpi) {
  const auto rank = rank_of(kMpich);
  ASSERT_TRUE(rank);
  EXPECT_EQ(rank->rank, 2);
  EXPECT_EQ(rank->world_size, 4);
  EXPECT_EQ(rank->local_rank, 1);
  EXPECT_EQ(rank->address, "127.0.0.1");
  EXPECT_EQ(rank->port, 29500);
  const auto several = with(kMpich, {{"MPI_LOCALNRANKS", "2"}});
  expect_rejected(several, {"-genv MASTER_ADDR"});
  EXPECT_EQ(rank_of(with(several, {{"MASTER_ADDR", "node1"}, {"MASTER_PORT", "4000"}}))->port, 4000);
  EXPECT_FALSE(rank_of(with(kMpich, {{"PMI_SIZE", "1"}, {"PMI_RANK", "0"}})));
  expect_rejected(without(kMpich, "MPI_LOCALNRANKS"), {"MPI_LOCALNRANKS is not set"});
}

/// Daemons that srun started hand SLURM's variables of their own on to every process: two daemons, four processes.
TEST(RankFrom, AnMpirunWithinASlurmJobWinsOverItsDaemonsVariables) {
  const Variables daemon{
      {"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"},     {"SLURM_LOCALID", "0"},          {"SLURM_STEP_ID", "0"},
      {"SLURM_JOB_ID", "6"}, {"SLURM_STEP_NODELIST", "n[1-2]"}, {"SLURM_JOB_NODELIST", "n[1-2]"}};
  for (const Variables& mpi : {with(kMpich, {{"MPI_LOCALNRANKS", "3"}}),
                               with(kOpenMpi, {{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "2"}})}) {
    const auto rank = rank_of(with(daemon, mpi));
    ASSERT_TRUE(rank);
    EXPECT_EQ(rank->rank, 2);
    EXPECT_EQ(rank->world_size, 4);
    EXPECT_EQ(rank->local_rank, 1);
    EXPECT_EQ(rank->address, "n1") << "nobody else says where rank 0 is";
    EXPECT_EQ(rank->port, rank_of(with(with(daemon, {{"SLURM_PROCID", "1"}, {"SLURM_STEP_ID", "3"}}), mpi))->port);
    EXPECT_EQ(rank_of(with(with(daemon, mpi), {{"MASTER_ADDR", "x"}}))->address, "x");
  }
}

TEST(RankFrom, SrunsPmi2IsSlurm) {
  const auto rank = rank_of(with(kSlurm, {{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}}));
  ASSERT_TRUE(rank);
  EXPECT_EQ(rank->local_rank, 1);
  EXPECT_EQ(rank->launcher, "SLURM's srun");
}

TEST(RankFrom, AnInteractiveStepTrainsAloneAndSaysSo) {
  std::string note;
  const auto in_a_shell = [](std::int64_t pid) {
    EXPECT_EQ(pid, 13254);
    return SlurmTask{false, "0"};
  };
  EXPECT_FALSE(rank_of(kInteractive, in_a_shell, &note));
  EXPECT_NE(note.find("interactive step"), std::string::npos) << note;
  EXPECT_NE(note.find("--nproc"), std::string::npos) << note;
  note.clear();
  // `srun --ntasks=4 --pty pretrain`: the tasks are the ranks.
  EXPECT_TRUE(rank_of(kInteractive, ours, &note));
  // `srun --overlap --ntasks=4 pretrain` in that shell inherits its variables of the terminal.
  EXPECT_TRUE(rank_of(
      with(kInteractive, {{"SLURM_STEP_ID", "1"}}),
      [](std::int64_t) {
        return SlurmTask{true, "1"};
      },
      &note));
  EXPECT_EQ(note, "");
  // A wrapper that puts itself into another group, without a terminal.
  EXPECT_TRUE(rank_of(without(kInteractive, "SLURM_PTY_PORT"), in_a_shell));
}

TEST(RankFrom, AStepsVariablesThatABatchJobInheritedMeanNothing) {
  std::string note;
  const auto batch = with(without(kInteractive, "SLURM_PTY_PORT"), {{"SLURM_JOB_ID", "8"}});
  EXPECT_FALSE(rank_of(
      batch,
      [](std::int64_t) {
        return SlurmTask{true, "batch"};
      },
      &note));
  EXPECT_NE(note.find("inherited"), std::string::npos) << note;
  EXPECT_FALSE(rank_of(batch, [](std::int64_t) { return SlurmTask{true, "1"}; }));
  EXPECT_TRUE(rank_of(batch, [](std::int64_t) { return SlurmTask{true, "0"}; }));
  // Where the daemon cannot be seen, a step on one machine lists all its tasks.
  const auto on_one = with(batch, {{"SLURM_STEP_NUM_NODES", "1"}, {"SLURM_GTIDS", "0"}});
  EXPECT_FALSE(rank_of(on_one));
  EXPECT_TRUE(rank_of(with(on_one, {{"SLURM_GTIDS", "0,1,2,3"}})));
}

TEST(RankFrom, NprocWinsOverInheritedVariablesOnly) {
  const auto other = [](const Variables& variables, const LookAtTask& look) {
    return other_launcher(environment(variables), look);
  };
  const auto foreign = [](std::int64_t) { return SlurmTask{}; };
  EXPECT_FALSE(other({}, ours));
  EXPECT_FALSE(other(kInteractive, foreign));
  EXPECT_FALSE(other(kSlurm, foreign));
  EXPECT_EQ(other(with(kSlurm, {{"SLURM_TASK_PID", "5"}}), ours), "SLURM's srun");
  EXPECT_EQ(other(kMpich, foreign), "the mpirun of MPICH or Intel MPI");
  EXPECT_TRUE(other(kTorchrun, foreign));
}

TEST(RankFrom, PortsAreThoseOfTcp) {
  for (const Variables& variables : {kTorchrun, kSlurm, kOpenMpi, kMpich}) {
    for (const char* port : {"99999", "65536", "0", "-1", "http", ""})
      expect_rejected(with(variables, {{"MASTER_PORT", port}}),
                      {"MASTER_PORT", std::string("'") + port + "'", "65535"});
    EXPECT_EQ(rank_of(with(variables, {{"MASTER_PORT", "65535"}}))->port, 65535);
  }
}

TEST(SlurmTaskTest, KnowsThisProcess) {
  EXPECT_TRUE(look_at_task(::getpid()).is_ours);
  EXPECT_FALSE(look_at_task(1).is_ours && ::getpgrp() != ::getpgid(1));
  EXPECT_FALSE(look_at_task(::getpid()).step) << "no slurmstepd started this test";
}

TEST(RankFrom, MistakesAreNamed) {
  expect_rejected(without(kTorchrun, "MASTER_ADDR"), {"MASTER_ADDR is not set"});
  expect_rejected(without(kTorchrun, "LOCAL_RANK"), {"LOCAL_RANK is not set"});
  expect_rejected(with(kTorchrun, {{"RANK", "8"}}), {"RANK is 8", "WORLD_SIZE 8"});
  expect_rejected(with(kTorchrun, {{"RANK", "-1"}}), {"RANK", "'-1'"});
  expect_rejected(with(kTorchrun, {{"WORLD_SIZE", "two"}}), {"WORLD_SIZE", "'two'"});
  expect_rejected(without(kSlurm, "SLURM_LOCALID"), {"SLURM_LOCALID is not set"});
}

TEST(FirstHost, OfEveryKindOfList) {
  EXPECT_EQ(first_host("node1"), "node1");
  EXPECT_EQ(first_host("node1,node2"), "node1");
  EXPECT_EQ(first_host("gpu[07-09,12],login"), "gpu07");
  EXPECT_EQ(first_host("gpu[3]"), "gpu3");
  EXPECT_EQ(first_host("rack[1,4]-ib"), "rack1-ib");
  test::expect_usage_error([] { first_host("gpu[07"); }, {"gpu[07", "bracket"});
  test::expect_usage_error([] { first_host(""); }, {"names no host"});
}

}  // namespace
}  // namespace axlstm::launch
