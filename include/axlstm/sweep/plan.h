// The file of a sweep: cells that differ in a few keys, seeds, and how they are evaluated.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/config/hear_schema.h"
#include "axlstm/config/schema.h"

namespace axlstm::sweep {

/// What a cell's embeddings are of.
enum class CellModel { kTrained, kUntrained, kNaive };
constexpr auto enum_names(CellModel) { return std::array{"trained", "untrained", "naive"}; }

/// A row of the table, for each embedding layout.
struct Cell {
  std::string id;    ///< of its folders: lower-case letters, digits, dots and hyphens
  std::string name;  ///< in tables
  CellModel model = CellModel::kTrained;
  config::RunConfig config;      ///< resolved; unused by kNaive
  config::RunConfig finetuning;  ///< resolved but for task, seed and folder; unused by kNaive, and without tasks
  std::string published;         ///< the paper's s(m), as printed; may be empty
  std::int64_t seeds = 1;        ///< pre-trainings; of kUntrained weights
};

/// How the encoders are fine-tuned.
struct FineTuning {
  std::vector<std::string> tasks;  ///< HEAR tasks of whole clips; empty: they are not
  std::int64_t seeds = 1;          ///< of each encoder and task: train.seed = 0, 1, …
};

struct Plan {
  std::string title;
  std::filesystem::path output;
  std::int64_t first_seed = 0;
  std::vector<std::string> columns;  ///< keys of the configuration to show beside the names
  std::vector<std::string> layouts;  ///< of embeddings: time_frequency, released
  std::vector<Cell> cells;
  config::HearConfig hear;
  FineTuning finetuning;
};

/// Reads a sweep's file and assignments of the command line: sweep.key, hear.key and finetune.key change those
/// sections, any other section.key the configuration of every cell, stronger than the file. Relative paths of
/// configurations are relative to the file. Throws UsageError with file, line and column for unknown keys, impossible
/// values, cells of one name.
Plan load_plan(const std::filesystem::path& file, const std::vector<std::string>& assignments);

/// One cell and seed, which run one after the other: the unit of work. `index` counts the runs of a plan.
struct Run {
  std::size_t index = 0;
  std::size_t cell = 0;
  std::int64_t seed = 0;
  std::filesystem::path
      folder;  ///< <output>/cells/<id>.s<seed>: configuration, checkpoints, logs, notes of what is done
};

std::vector<Run> runs_of(const Plan& plan);

/// Name of the embeddings of a run in one of the plan's layouts, such as "axlstm-t.s0.released"; the layout is left out
/// where there is none (naive).
std::string embedding_name(const Plan& plan, const Run& run, const std::string& layout);

/// Where the fine-tuning of a run's encoder on a task begins and ends: <output>/finetuned/<id>.s<seed>_<of>/<task>.
std::filesystem::path finetuning_folder(const Plan& plan, const Run& run, std::int64_t of, const std::string& task);

/// The layouts of a cell's embeddings: the plan's, or one empty text for kNaive.
std::vector<std::string> layouts_of(const Plan& plan, const Cell& cell);

}  // namespace axlstm::sweep
