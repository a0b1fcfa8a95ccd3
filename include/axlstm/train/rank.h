// Which process of a distributed run this one is, as the environment says. Free of LibTorch.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace axlstm::train {

/// One process of a run, and where the processes meet.
struct Rank {
  std::int64_t rank = 0;        ///< 0 … world_size − 1; 0 writes what the run leaves
  std::int64_t world_size = 1;  ///< processes, one a GPU
  std::int64_t local_rank = 0;  ///< the same within this machine: which GPU
  std::string address = "127.0.0.1";
  std::int64_t port = 29500;
  std::string launcher;                             ///< whose variables said so, for messages
  std::optional<std::int64_t> listening_socket;     ///< rank 0: a socket that already listens at `port`
  std::optional<std::string> attempt_of_own_store;  ///< torchrun keeps the store itself; this sets its restarts apart
};

/// Value of an environment variable; nothing if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

Environment process_environment();

/// The rank that torchrun's variables give (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT; `pretrain --nproc`
/// sets them too), else SLURM's of an srun with several tasks, else Open MPI's. Nothing where the process was started
/// alone. MASTER_ADDR and MASTER_PORT win over what SLURM's and Open MPI's variables would give. Throws UsageError
/// naming the variable that is missing or makes no sense.
std::optional<Rank> rank_from(const Environment& environment);

/// The first host of SLURM's list: "gpu[07-09,12],login" → "gpu07".
std::string first_host(const std::string& node_list);

}  // namespace axlstm::train
