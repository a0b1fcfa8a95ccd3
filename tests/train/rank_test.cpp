#include "axlstm/train/rank.h"

#include <gtest/gtest.h>

#include <map>

#include "core/expect_error.h"

namespace axlstm::train {
namespace {

using Variables = std::map<std::string, std::string>;

std::optional<Rank> rank_of(const Variables& variables) {
  return rank_from([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

const Variables kTorchrun{
    {"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29400"}};
const Variables kSlurm{{"SLURM_PROCID", "3"},  {"SLURM_STEP_NUM_TASKS", "4"},         {"SLURM_LOCALID", "1"},
                       {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NODELIST", "gpu[07-08]"}, {"SLURM_JOB_ID", "123"}};
const Variables kOpenMpi{{"OMPI_COMM_WORLD_RANK", "1"},
                         {"OMPI_COMM_WORLD_SIZE", "2"},
                         {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};

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
  EXPECT_FALSE(rank->attempt_of_own_store);
}

TEST(RankFrom, UsesTheStoreThatTorchrunKeeps) {
  const auto rank =
      rank_of(with(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}, {"TORCHELASTIC_RESTART_COUNT", "2"}}));
  ASSERT_TRUE(rank);
  EXPECT_EQ(rank->attempt_of_own_store, "2");
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
}  // namespace axlstm::train
