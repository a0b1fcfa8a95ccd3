#include "axlstm/hear/grid.h"

#include <cmath>
#include <map>

#include "axlstm/core/error.h"
#include "axlstm/hear/options.h"

namespace axlstm::hear {
namespace {

/// Values of each hyper-parameter. The sorted names give ParameterGrid's order: the last one changes fastest.
using GridTable = std::map<std::string, std::vector<double>>;

constexpr double kXavierUniform = 0.0, kXavierNormal = 1.0;

int whole(const std::string& name, double value) {
  AXLSTM_CHECK(value >= 0.0 && value <= 1e9 && value == std::floor(value), "grid: ", name, " ", value,
               " is no whole number");
  return static_cast<int>(value);
}

void set(DownstreamConfig& config, const std::string& name, double value) {
  if (name == "batch_size") config.batch_size = whole(name, value);
  if (name == "check_val_every_n_epoch") config.check_val_every_n_epoch = whole(name, value);
  if (name == "dropout") config.dropout = value;
  if (name == "hidden_dim") config.hidden_dim = whole(name, value);
  if (name == "hidden_layers") config.hidden_layers = whole(name, value);
  if (name == "initialization") {
    config.initialization = value == kXavierUniform ? Initialization::kXavierUniform : Initialization::kXavierNormal;
  }
  if (name == "lr") config.lr = value;
  if (name == "max_epochs") config.max_epochs = whole(name, value);
  if (name == "patience") config.patience = whole(name, value);
}

GridTable named_grid(const std::string& name) {
  GridTable table{{"batch_size", {1024}},
                  {"check_val_every_n_epoch", {3}},
                  {"dropout", {0.1}},
                  {"hidden_dim", {1024}},
                  {"hidden_layers", {1, 2}},
                  {"initialization", {kXavierUniform, kXavierNormal}},
                  {"lr", {3.2e-3, 1e-3, 3.2e-4, 1e-4}},
                  {"max_epochs", {500}},
                  {"patience", {20}}};
  if (name == "default") return table;
  if (name == "released") {
    table["hidden_layers"] = {1};
    table["dropout"] = {0.1, 0.25};
    table["lr"] = {1e-4};
    table["initialization"] = {kXavierNormal};
  } else if (name == "fast") {
    table["max_epochs"] = {10, 50};
    table["check_val_every_n_epoch"] = {3, 10};
  } else if (name == "faster") {
    table["hidden_layers"] = {0, 1};
    table["hidden_dim"] = {64, 128};
    table["patience"] = {1, 3};
    table["max_epochs"] = {10};
    table["check_val_every_n_epoch"] = {1};
  } else {
    std::string known;
    for (const char* grid : kGrids) known += str(known.empty() ? "" : ", ", grid);
    throw UsageError(str("grid \"", name, "\" is not known; known: ", known));
  }
  return table;
}

}  // namespace

std::vector<DownstreamConfig> grid_points(const std::string& name, const TaskMetadata& metadata) {
  GridTable table = named_grid(name);
  if (metadata.task_name == "dcase2016_task2") table["check_val_every_n_epoch"] = {10};  // Official: by task_name
  for (const auto& [key, values] : metadata.task_specific_param_grid) {
    AXLSTM_CHECK(table.contains(key) && key != "initialization", metadata.task_name, ": task_specific_param_grid \"",
                 key, "\" is not known");
    table[key] = values;
  }
  std::vector<DownstreamConfig> points{DownstreamConfig{}};
  for (const auto& [key, values] : table) {
    std::vector<DownstreamConfig> finer;
    for (const DownstreamConfig& point : points) {
      for (const double value : values) set(finer.emplace_back(point), key, value);
    }
    points = std::move(finer);
  }
  return points;
}

}  // namespace axlstm::hear
