// The hyper-parameters of HEAR's downstream models and the grids of them that are searched.
#pragma once

#include <string>
#include <vector>

#include "axlstm/hear/task.h"

namespace axlstm::hear {

enum class Initialization { kXavierUniform, kXavierNormal };

struct DownstreamConfig {
  int hidden_layers = 1;  ///< 0: a linear model
  int hidden_dim = 1024;
  double dropout = 0.1;
  double lr = 1e-4;  ///< Adam, constant
  Initialization initialization = Initialization::kXavierNormal;
  int batch_size = 1024;
  int max_epochs = 500;
  int check_val_every_n_epoch = 3;
  int patience = 20;  ///< validations, not epochs, without a better score before training stops
};

/// The points of a grid for a task, in scikit-learn's ParameterGrid order: `released` (2 points, of AxLSTM's released
/// code and paper), or HEAR's own `default` (16), `fast` (64) and `faster` (64). A task's own lists of values
/// (evaluation_params.task_specific_param_grid; HEAR's rule for dcase2016_task2) replace the grid's.
/// Throws UsageError naming the choices for another name, and Error naming a key of the task that is not known.
std::vector<DownstreamConfig> grid_points(const std::string& name, const TaskMetadata& metadata);

}  // namespace axlstm::hear
