// The stages of a run as commands of the sibling programs, and the notes of what is done.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/sweep/plan.h"

namespace axlstm::sweep {

/// The name of a stage is that of its program.
enum class Stage { kPretrain, kExtract, kEvaluate, kFinetune };
constexpr auto enum_names(Stage) { return std::array{"pretrain", "extract", "hear-eval", "finetune"}; }

/// The stages that a comma-separated list names, in their order. Throws UsageError naming the choices.
std::vector<Stage> parse_stages(const std::string& list);

struct StageContext {
  std::filesystem::path programs;            ///< folder of the sibling programs
  std::vector<std::filesystem::path> tasks;  ///< HEAR task folders to be embedded
  int evaluation_jobs = 0;                   ///< of hear-eval, if hear.jobs does not say; 0: its own choice
  std::vector<std::filesystem::path> finetuning_tasks = {};
};

/// True if the stage has work in a run: an untrained or naive model is not pre-trained, a naive one not fine-tuned.
bool applies(const Plan& plan, const Run& run, Stage stage);

/// Each a program's path and its arguments, to be run one after the other.
std::vector<std::vector<std::string>> commands_of(const Plan& plan, const Run& run, Stage stage,
                                                  const StageContext& context);

/// Writes <run>/sweep.yaml, the configuration that `pretrain` and `random:` read, and finetune.yaml, that of
/// `finetune`, and creates the folder.
void write_configuration(const Plan& plan, const Run& run);

/// True if the note of the stage says that just this was done. Throws UsageError naming the keys if the run's folder
/// holds a pre-training with another recipe.
bool is_done(const Plan& plan, const Run& run, Stage stage, const StageContext& context);

/// Locks that programs of the run hold while they work, also those that a sweep left behind when it was killed.
std::vector<std::filesystem::path> locks_of(const Plan& plan, const Run& run);

/// Leaves the note, and removes those of the stages whose input has changed.
void mark_done(const Plan& plan, const Run& run, Stage stage, const StageContext& context, double seconds);

/// True if a trained model is there to be embedded.
bool is_pretrained(const Run& run);

}  // namespace axlstm::sweep
