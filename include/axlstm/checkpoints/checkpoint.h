// Checkpoints: folders that are there whole or not at all.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/checkpoints/tensors.h"

namespace axlstm::checkpoints {

/// `<run>/checkpoints/step-00001000/` holds model.safetensors, optimizer.safetensors, config.yaml, with averaged
/// weights ema.safetensors, and state.json, which lists the size and hash of the others.
struct Checkpoint {
  std::int64_t step = 0;  ///< optimiser steps made
  std::map<std::string, torch::Tensor> model, optimizer;
  std::string config_yaml;
  std::string data_fingerprint;  ///< of the training set, to notice that it changed
  std::int64_t skipped_steps = 0, skipped_in_a_row = 0;
  std::map<std::string, torch::Tensor> ema = {};  ///< averaged weights; empty where there are none
  std::int64_t best_step = -1;  ///< with the best score so far, whose checkpoint stays; −1: none has
  double best_score = 0;
};

/// Which checkpoints stay.
struct Retention {
  std::int64_t keep_last = 3;   ///< the newest ones
  std::int64_t keep_every = 0;  ///< and those of multiples of this step; 0: none
};

/// Writes under a temporary name, flushes, renames; then deletes those that need not stay. Throws Error and leaves
/// older checkpoints alone if anything cannot be written.
void save_checkpoint(const std::filesystem::path& run_dir, const Checkpoint& checkpoint, const Retention& retention);

/// Does what save_checkpoint does with files of the same sizes and takes them away again, so that a run that could not
/// save ends before it begins. Throws Error naming the file and the system's reason.
void rehearse_checkpoint(const std::filesystem::path& run_dir, const Checkpoint& checkpoint);

/// Checkpoint folders of a run, oldest first. Other folders, such as a copy step-00000100.bak, do not count.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& run_dir);

/// Deletes what saves and deletions that were killed left behind, gigabytes each. Only for who holds the run's lock:
/// another process may be writing one.
void remove_unfinished_checkpoints(const std::filesystem::path& run_dir);

/// The checkpoint with the best score so far, as the newest whole one tells; that one itself where none was scored.
/// Throws Error if there is none, or if the best one is gone.
std::filesystem::path best_checkpoint(const std::filesystem::path& run_dir);

/// Reads and verifies one folder. Throws Error naming the damaged file.
Checkpoint load_checkpoint(const std::filesystem::path& folder);

/// The newest whole checkpoint of a run; damaged ones are passed over with a warning. Nothing if there is none;
/// Error if there are some and all are damaged.
std::optional<Checkpoint> load_newest_checkpoint(const std::filesystem::path& run_dir);

/// A trained model as other programs need it: the folder of a checkpoint, converted or ours, or a run (its newest one).
struct SavedModel {
  std::map<std::string, torch::Tensor> tensors;
  std::string config_yaml;
  std::filesystem::path folder;
};

/// The checkpoint that load_model() would read. Throws Error as it does.
std::filesystem::path model_folder(const std::filesystem::path& folder);

/// `ema`: its averaged weights. optimizer.safetensors may be missing. Throws Error naming what is missing or damaged.
SavedModel load_model(const std::filesystem::path& folder, bool ema = false);

}  // namespace axlstm::checkpoints
