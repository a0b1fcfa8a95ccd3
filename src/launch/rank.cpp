#include "axlstm/launch/rank.h"

#include <charconv>
#include <limits>

#include "axlstm/core/error.h"

namespace axlstm::launch {
namespace {

constexpr const char* kSlurm = "SLURM's srun";
constexpr std::int64_t kFirstSlurmPort = 15000, kSlurmPorts = 20000;  // below what systems give out by themselves
constexpr std::int64_t kLastPort = 65535, kLargest = std::numeric_limits<std::int64_t>::max();

std::int64_t whole_number(const std::string& name, const std::string& text, std::int64_t lowest,
                          std::int64_t highest = kLargest) {
  std::int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size() || value < lowest || value > highest) {
    throw UsageError(str("the environment variable ", name, " is '", text, "', it takes a whole number from ", lowest,
                         highest < kLargest ? str(" to ", highest) : ""));
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

  std::int64_t number(const std::string& name, std::int64_t lowest = 0, std::int64_t highest = kLargest) const {
    return whole_number(name, text(name), lowest, highest);
  }

  std::int64_t port(std::int64_t otherwise) const {
    return find("MASTER_PORT") ? number("MASTER_PORT", 1, kLastPort) : otherwise;
  }

  /// Jobs and steps that share a node must not meet at the same port.
  std::int64_t slurm_port(std::int64_t step) const {
    return port(kFirstSlurmPort + (number("SLURM_JOB_ID") * 7 + step) % kSlurmPorts);
  }

 private:
  const Environment& environment_;
  std::string launcher_;
};

/// The names of rank, world size and local rank.
struct Names {
  std::string rank, world_size, local_rank;
};

Rank counted(const Variables& variables, const std::string& launcher, const Names& names) {
  Rank found;
  found.launcher = launcher;
  found.variable = names.world_size;
  found.world_size = variables.number(names.world_size, 1);
  found.rank = variables.number(names.rank);
  if (found.rank >= found.world_size) {
    throw UsageError(
        str(names.rank, " is ", found.rank, ", it must be below ", names.world_size, " ", found.world_size));
  }
  const bool alone = found.world_size == 1 && !variables.find(names.local_rank);
  found.local_rank = alone ? 0 : variables.number(names.local_rank);
  return found;
}

Rank torchrun_rank(const Environment& environment) {
  const std::string launcher = environment("AXLSTM_LAUNCHED") ? "--nproc" : "torchrun (or whoever set RANK)";
  const Variables variables(environment, launcher);
  Rank rank = counted(variables, launcher, {"RANK", "WORLD_SIZE", "LOCAL_RANK"});
  rank.address = variables.text("MASTER_ADDR");
  rank.port = variables.number("MASTER_PORT", 1, kLastPort);
  if (variables.find("AXLSTM_LISTENING_SOCKET")) rank.listening_socket = variables.number("AXLSTM_LISTENING_SOCKET");
  rank.store_is_kept = variables.find("TORCHELASTIC_USE_AGENT_STORE") == "True";
  return rank;
}

Rank slurm_rank(const Environment& environment) {
  const Variables variables(environment, kSlurm);
  Rank rank = counted(variables, kSlurm, {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"});
  const auto nodes = variables.find("SLURM_STEP_NODELIST");
  rank.address =
      variables.find("MASTER_ADDR").value_or(first_host(nodes ? *nodes : variables.text("SLURM_JOB_NODELIST")));
  rank.port = variables.slurm_port(variables.find("SLURM_STEP_ID") ? variables.number("SLURM_STEP_ID") : 0);
  return rank;
}

/// Of an MPI whose variables tell how many processes there are on this machine, but not where rank 0 is.
struct Mpi {
  std::string launcher;
  Names names;
  std::string local_size;
  std::string option;  ///< that hands a variable to all processes
};

const Mpi kOpenMpi{"Open MPI's mpirun",
                   {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
                   "OMPI_COMM_WORLD_LOCAL_SIZE",
                   "-x MASTER_ADDR=<host>"};
const Mpi kHydra{"the mpirun of MPICH or Intel MPI",
                 {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
                 "MPI_LOCALNRANKS",
                 "-genv MASTER_ADDR <host>"};

Rank mpi_rank(const Environment& environment, const Mpi& mpi) {
  const Variables variables(environment, mpi.launcher);
  Rank rank = counted(variables, mpi.launcher, mpi.names);
  const bool in_slurm_job = variables.find("SLURM_JOB_ID") && variables.find("SLURM_JOB_NODELIST");
  if (const auto address = variables.find("MASTER_ADDR")) {
    rank.address = *address;
  } else if (variables.number(mpi.local_size) < rank.world_size) {
    if (!in_slurm_job)
      throw UsageError("mpirun started processes on several machines: name the first one with " + mpi.option);
    rank.address = first_host(variables.text("SLURM_JOB_NODELIST"));
  }
  rank.port = in_slurm_job ? variables.slurm_port(/*step=*/6) : variables.port(rank.port);
  return rank;
}

/// Of several processes.
bool has_rank(const Environment& environment, const Names& names) {
  return environment(names.rank) && whole_number(names.world_size, environment(names.world_size).value_or("1"), 1) > 1;
}

}  // namespace

std::optional<Rank> rank_from(const Environment& environment, std::string* note, const LookAtTask& look) {
  if (environment("RANK") && environment("WORLD_SIZE")) return torchrun_rank(environment);
  if (has_rank(environment, kOpenMpi.names)) return mpi_rank(environment, kOpenMpi);
  // Hydra, which MPICH and Intel MPI start processes with, sets this one; srun --mpi=pmi2 sets the others of PMI only.
  const bool pmi = has_rank(environment, kHydra.names), hydra = environment(kHydra.names.local_rank).has_value();
  if (pmi && hydra) return mpi_rank(environment, kHydra);
  const SlurmStep step = slurm_step(environment, look);
  if (step == SlurmStep::kTask) return slurm_rank(environment);
  if (note && step == SlurmStep::kInteractive) {
    *note =
        str("this is a shell in an interactive step of SLURM, whose other ",
            environment("SLURM_STEP_NUM_TASKS").value_or("?"),
            " − 1 tasks train nothing: training alone; --nproc starts several processes on this machine, srun on all");
  }
  if (note && step == SlurmStep::kInherited)
    *note = "SLURM_STEP_NUM_TASKS was inherited from a step of SLURM that this process is no part of: training alone";
  if (step == SlurmStep::kNone && pmi) return mpi_rank(environment, kHydra);
  return std::nullopt;
}

std::optional<std::string> other_launcher(const Environment& environment, const LookAtTask& look) {
  bool is_task = false;
  const auto remember = [&](std::int64_t pid) {
    const SlurmTask task = look(pid);
    is_task = task.is_ours;
    return task;
  };
  const auto rank = rank_from(environment, nullptr, remember);
  if (!rank || (rank->launcher == kSlurm && !is_task)) return std::nullopt;
  return rank->launcher;
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

}  // namespace axlstm::launch
