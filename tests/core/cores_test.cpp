#include "axlstm/core/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <map>
#include <string>

#include "support/tmpdir.h"

namespace axlstm {
namespace {

/// A machine with files of control groups.
class Cores : public testing::Test {
 protected:
  Cores() {
    limits_.affinity = 96;
    limits_.root = folder_.path();
    limits_.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
  }

  void write(const std::string& name, const std::string& text) const { folder_.write(name, text); }

  void play_v2(const std::string& group, const std::string& mounted_from = "/") const {
    write("proc/self/cgroup", "0::" + group + "\n");
    write("proc/self/mountinfo", "25 1 0:23 / /proc rw - proc proc rw\n31 23 0:26 " + mounted_from +
                                     " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  }

  void play_v1(const std::string& group, const std::string& mounted_from = "/") const {
    write("proc/self/cgroup", "9:memory:/other\n4:cpu,cpuacct:" + group + "\n3:cpuset:/\n0::/init.scope\n");
    write("proc/self/mountinfo", "30 25 0:27 " + mounted_from +
                                     " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                                     "31 25 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
  }

  int cores(int sharers = 1) const { return allowed_cores(limits_, sharers); }

  test::TemporaryFolder folder_;
  CoreLimits limits_;
  std::map<std::string, std::string> variables_;
};

TEST_F(Cores, WithoutLimitsAreThoseOfTheAffinity) {
  EXPECT_EQ(cores(), 96);
  limits_.affinity = 1;
  EXPECT_EQ(cores(), 1);
}

TEST_F(Cores, TheQuotaOfCgroup2Counts) {
  play_v2("/user.slice/job");
  write("sys/fs/cgroup/user.slice/job/cpu.max", "400000 100000\n");
  EXPECT_EQ(cores(), 4);
  write("sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), 96);
  write("sys/fs/cgroup/user.slice/job/cpu.max", "150000 100000\n");
  EXPECT_EQ(cores(), 2) << "a part of a core is worth a thread";
  write("sys/fs/cgroup/user.slice/job/cpu.max", "20000 100000\n");
  EXPECT_EQ(cores(), 1);
}

TEST_F(Cores, TheQuotaOfAGroupAboveCounts) {
  play_v2("/kubepods/pod1/container");
  write("sys/fs/cgroup/kubepods/pod1/container/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/kubepods/pod1/cpu.max", "300000 100000\n");
  write("sys/fs/cgroup/kubepods/cpu.max", "8000000 100000\n");
  EXPECT_EQ(cores(), 3);
}

TEST_F(Cores, AContainerSeesItsOwnGroupAsTheTop) {
  play_v2("/");
  write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(cores(), 2);
  play_v2("/../../system.slice");  // looked at from another namespace
  EXPECT_EQ(cores(), 2);
  play_v1("/docker/0123", "/docker/0123");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "500000\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), 5);
  play_v1("/docker/0123", "/docker/4567");
  EXPECT_EQ(cores(), 5);
}

TEST_F(Cores, TheQuotaOfCgroup1Counts) {
  play_v1("/slurm/job1/step0");
  write("sys/fs/cgroup/cpu,cpuacct/slurm/job1/cpu.cfs_quota_us", "600000\n");
  write("sys/fs/cgroup/cpu,cpuacct/slurm/job1/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/slurm/job1/step0/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/slurm/job1/step0/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), 6);
}

TEST_F(Cores, SlurmCountsWhereItSaysLess) {
  variables_ = {{"SLURM_CPUS_ON_NODE", "8"}};
  EXPECT_EQ(cores(), 8);
  EXPECT_EQ(cores(4), 2);
  variables_["SLURM_CPUS_PER_TASK"] = "2";
  EXPECT_EQ(cores(), 2);
  EXPECT_EQ(cores(4), 2) << "each task has its own";
  limits_.affinity = 1;
  EXPECT_EQ(cores(), 1);
  limits_.affinity = 96;
  variables_ = {{"SLURM_CPUS_PER_TASK", "1000"}, {"SLURM_CPUS_ON_NODE", "nonsense"}};
  EXPECT_EQ(cores(), 96);
}

TEST_F(Cores, AreAtLeastOne) {
  EXPECT_EQ(cores(500), 1);
  variables_ = {{"SLURM_CPUS_PER_TASK", "0"}, {"SLURM_CPUS_ON_NODE", "-3"}};
  EXPECT_EQ(cores(), 96);
}

TEST_F(Cores, DamagedFilesOfControlGroupsMeanNothing) {
  write("proc/self/cgroup", "nonsense\n0::\n:::\n");
  write("proc/self/mountinfo", " - \n31 23 0:26 - cgroup2 x y\n31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/cpu.max", "much\n");
  EXPECT_EQ(cores(), 96);
  write("sys/fs/cgroup/cpu.max", "100000\n");
  EXPECT_EQ(cores(), 96);
}

TEST_F(Cores, ThreadsAreAskedForInTheEnvironment) {
  EXPECT_EQ(threads_asked_for(limits_.environment), 0);
  variables_ = {{"OMP_NUM_THREADS", "6,2"}, {"MKL_NUM_THREADS", "3"}};
  EXPECT_EQ(threads_asked_for(limits_.environment), 6);
  variables_ = {{"MKL_NUM_THREADS", "3"}};
  EXPECT_EQ(threads_asked_for(limits_.environment), 3);
}

TEST(ProcessCores, FollowTheAffinity) {
  cpu_set_t before, one;
  CPU_ZERO(&before);
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(allowed_cores(), 1);
  EXPECT_EQ(affinity_mask(), std::to_string(first) + ",");
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(process_core_limits().affinity, CPU_COUNT(&before));
}

}  // namespace
}  // namespace axlstm
