// A whole sweep: the runs of a plan, made here or by SLURM, and their table.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "axlstm/core/exit_code.h"
#include "axlstm/sweep/plan.h"
#include "axlstm/sweep/stages.h"

namespace axlstm::sweep {

struct SweepArguments {
  std::string config;                    ///< the sweep's file
  std::vector<std::string> assignments;  ///< section.key=value
  std::string stages;                    ///< a comma-separated list; empty: all that the file has something for
  int jobs = 0;                          ///< runs at once; 0: one for each GPU
  int cell = -1;                         ///< this run only; −1: all
  /// Parameters of a configuration's model, for the table.
  std::function<std::int64_t(const config::RunConfig&)> parameters;
};

class Sweep {
 public:
  /// Throws UsageError as load_plan and parse_stages, and for a cell that is not there.
  explicit Sweep(SweepArguments arguments);

  /// Makes what is not done yet, by the programs beside this one, and shows the table. Ends when `stop` turns true.
  ExitCode run(const std::atomic<bool>& stop) const;

  /// A line for each run.
  std::string list() const;

  /// A batch script with an array task for each run. Throws UsageError if a task of the evaluation is not there.
  std::string slurm_script() const;

  /// The table of what is there, on the terminal and in `output`; empty: <sweep.output>/report.
  void show_table(const std::filesystem::path& output = {}) const;

 private:
  std::vector<Stage> stages() const;
  StageContext context(const std::vector<Stage>& stages) const;

  SweepArguments arguments_;
  Plan plan_;
  std::vector<Run> runs_;
};

}  // namespace axlstm::sweep
