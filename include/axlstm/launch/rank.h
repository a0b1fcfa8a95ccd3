// Which process of a distributed run this one is, as the environment says. Free of LibTorch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "axlstm/core/environment.h"
#include "axlstm/launch/slurm_step.h"

namespace axlstm::launch {

/// One process of a run, and where the processes meet.
struct Rank {
  std::int64_t rank = 0;        ///< 0 … world_size − 1; 0 writes what the run leaves
  std::int64_t world_size = 1;  ///< processes, one a GPU
  std::int64_t local_rank = 0;  ///< the same within this machine: which GPU
  std::string address = "127.0.0.1";
  std::int64_t port = 29500;
  std::string launcher;                          ///< whose variables said so, for messages
  std::string variable;                          ///< without which the process would train alone, for messages
  std::optional<std::int64_t> listening_socket;  ///< rank 0: a socket that already listens at `port`
  bool store_is_kept = false;                    ///< by torchrun, through restarts: no rank keeps it
};

/// The rank that the environment gives; nothing where the process was started alone. In this order: torchrun's
/// variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT; `pretrain --nproc` sets them too), Open MPI's,
/// those of MPICH's and Intel MPI's mpirun, SLURM's of an srun with several tasks, and PMI's of other launchers: an
/// mpirun within a SLURM job hands down the SLURM variables of its own daemons. MASTER_ADDR and MASTER_PORT win over
/// what the others would give. A shell in an interactive SLURM step trains alone, and so does what inherited the
/// variables of a step that it is no part of; `note` then says so. Throws UsageError naming the variable that is
/// missing or makes no sense.
std::optional<Rank> rank_from(const Environment& environment, std::string* note = nullptr,
                              const LookAtTask& look = look_at_task);

/// Who starts ranks here, so that --nproc cannot; nothing where SLURM's variables are merely inherited.
std::optional<std::string> other_launcher(const Environment& environment, const LookAtTask& look = look_at_task);

/// The first host of SLURM's list: "gpu[07-09,12],login" → "gpu07".
std::string first_host(const std::string& node_list);

}  // namespace axlstm::launch
