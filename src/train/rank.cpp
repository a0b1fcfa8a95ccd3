#include "axlstm/train/rank.h"

#include <charconv>
#include <cstdlib>

#include "axlstm/core/error.h"

namespace axlstm::train {
namespace {

constexpr std::int64_t kFirstSlurmPort = 15000, kSlurmPorts = 20000;  // below what systems give out by themselves

std::int64_t whole_number(const std::string& name, const std::string& text, std::int64_t lowest) {
  std::int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size() || value < lowest) {
    throw UsageError(str("the environment variable ", name, " is '", text, "', it takes a whole number from ", lowest));
  }
  return value;
}

/// Reads the variables of one launcher.
class Variables {
 public:
  Variables(const Environment& environment, std::string launcher)
      : environment_(environment), launcher_(std::move(launcher)) {}

  std::optional<std::string> find(const std::string& name) const { return environment_(name); }

  std::string text(const std::string& name) const {
    const auto value = find(name);
    if (!value) throw UsageError(str(launcher_, " started this process, but ", name, " is not set"));
    return *value;
  }

  std::int64_t number(const std::string& name, std::int64_t lowest = 0) const {
    return whole_number(name, text(name), lowest);
  }

 private:
  const Environment& environment_;
  std::string launcher_;
};

/// Rank, world size and local rank by these names.
Rank counted(const Variables& variables, const std::string& launcher, const std::string& rank,
             const std::string& world_size, const std::string& local_rank) {
  Rank found;
  found.launcher = launcher;
  found.world_size = variables.number(world_size, 1);
  found.rank = variables.number(rank);
  if (found.rank >= found.world_size) {
    throw UsageError(str(rank, " is ", found.rank, ", it must be below ", world_size, " ", found.world_size));
  }
  found.local_rank = found.world_size == 1 && !variables.find(local_rank) ? 0 : variables.number(local_rank);
  return found;
}

Rank torchrun_rank(const Environment& environment) {
  const std::string launcher = environment("AXLSTM_LAUNCHED") ? "--nproc" : "torchrun (or whoever set RANK)";
  const Variables variables(environment, launcher);
  Rank rank = counted(variables, launcher, "RANK", "WORLD_SIZE", "LOCAL_RANK");
  rank.address = variables.text("MASTER_ADDR");
  rank.port = variables.number("MASTER_PORT", 1);
  if (variables.find("AXLSTM_LISTENING_SOCKET")) rank.listening_socket = variables.number("AXLSTM_LISTENING_SOCKET");
  if (variables.find("TORCHELASTIC_USE_AGENT_STORE") == "True")
    rank.attempt_of_own_store = variables.find("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return rank;
}

Rank slurm_rank(const Environment& environment) {
  const std::string launcher = "SLURM's srun";
  const Variables variables(environment, launcher);
  Rank rank = counted(variables, launcher, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID");
  const auto nodes = variables.find("SLURM_STEP_NODELIST");
  rank.address =
      variables.find("MASTER_ADDR").value_or(first_host(nodes ? *nodes : variables.text("SLURM_JOB_NODELIST")));
  // Jobs and steps that share a node must not meet at the same port.
  rank.port = variables.find("MASTER_PORT")
                  ? variables.number("MASTER_PORT", 1)
                  : kFirstSlurmPort + (variables.number("SLURM_JOB_ID") * 7 +
                                       (variables.find("SLURM_STEP_ID") ? variables.number("SLURM_STEP_ID") : 0)) %
                                          kSlurmPorts;
  return rank;
}

Rank open_mpi_rank(const Environment& environment) {
  const std::string launcher = "Open MPI's mpirun";
  const Variables variables(environment, launcher);
  Rank rank =
      counted(variables, launcher, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK");
  const auto address = variables.find("MASTER_ADDR");
  if (!address && variables.number("OMPI_COMM_WORLD_LOCAL_SIZE") < rank.world_size) {
    throw UsageError("mpirun started processes on several machines: name the first one with -x MASTER_ADDR=<host>");
  }
  rank.address = address.value_or(rank.address);
  if (variables.find("MASTER_PORT")) rank.port = variables.number("MASTER_PORT", 1);
  return rank;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

std::optional<Rank> rank_from(const Environment& environment) {
  if (environment("RANK") && environment("WORLD_SIZE")) return torchrun_rank(environment);
  // SLURM_STEP_NUM_TASKS is srun's own: in the batch script itself SLURM_PROCID is set too, but nobody else is there.
  const auto several = [&](const char* name) { return whole_number(name, environment(name).value_or("1"), 1) > 1; };
  if (environment("SLURM_PROCID") && several("SLURM_STEP_NUM_TASKS")) return slurm_rank(environment);
  if (environment("OMPI_COMM_WORLD_RANK") && several("OMPI_COMM_WORLD_SIZE")) return open_mpi_rank(environment);
  return std::nullopt;
}

std::string first_host(const std::string& node_list) {
  const auto end = node_list.find_first_of(",[");
  std::string host = node_list.substr(0, end);
  if (end != std::string::npos && node_list[end] == '[') {
    const auto number_end = node_list.find_first_of(",-]", end + 1);
    const auto close = node_list.find(']', end);
    if (number_end == std::string::npos || close == std::string::npos)
      throw UsageError("SLURM's list of nodes is '" + node_list + "': its bracket is not closed");
    host += node_list.substr(end + 1, number_end - end - 1);
    const auto suffix = node_list.substr(close + 1, node_list.find_first_of(",[", close + 1) - close - 1);
    host += suffix;
  }
  if (host.empty()) throw UsageError("SLURM's list of nodes is '" + node_list + "': it names no host");
  return host;
}

}  // namespace axlstm::train
