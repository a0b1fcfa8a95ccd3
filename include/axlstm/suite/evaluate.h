// From folders of embeddings to scores on the terminal and beside each other on disk.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "axlstm/core/exit_code.h"
#include "axlstm/downstream/evaluations.h"

namespace axlstm::suite {

struct EvaluateArguments {
  std::vector<std::filesystem::path> inputs;  ///< embedding folders of tasks, or folders of such
  std::filesystem::path output;  ///< <output>/<model>_<seed>/<task>/; empty: into the embedding folders, as HEAR's kit
  std::uint64_t first_seed = 0;
  int seeds = 1;
  int jobs = 0;  ///< 0: cores / threads, or 4 for each GPU
  downstream::EvaluationsOptions evaluations;
};

/// Evaluates every task that can be; the others are reported and passed over. Prints a table of mean scores.
ExitCode evaluate(const EvaluateArguments& arguments);

}  // namespace axlstm::suite
