#include "axlstm/hear/grid.h"

#include <gtest/gtest.h>

#include "axlstm/core/error.h"

namespace axlstm::hear {
namespace {

void expect_point(const DownstreamConfig& point, int hidden_layers, int hidden_dim, double lr,
                  Initialization initialization, int max_epochs, int check_val_every_n_epoch, int patience) {
  EXPECT_EQ(point.hidden_layers, hidden_layers);
  EXPECT_EQ(point.hidden_dim, hidden_dim);
  EXPECT_EQ(point.lr, lr);
  EXPECT_EQ(point.initialization, initialization);
  EXPECT_EQ(point.max_epochs, max_epochs);
  EXPECT_EQ(point.check_val_every_n_epoch, check_val_every_n_epoch);
  EXPECT_EQ(point.patience, patience);
}

// Points 5, 13 and 37 of list(sklearn.model_selection.ParameterGrid(…)) for HEAR's three grids
TEST(GridTest, IsInTheOrderOfScikitLearn) {
  using enum Initialization;
  const auto full = grid_points("default", {});
  ASSERT_EQ(full.size(), 16U);
  expect_point(full[5], 1, 1024, 1e-3, kXavierNormal, 500, 3, 20);
  expect_point(full[13], 2, 1024, 1e-3, kXavierNormal, 500, 3, 20);
  const auto fast = grid_points("fast", {});
  ASSERT_EQ(fast.size(), 64U);
  expect_point(fast[13], 1, 1024, 3.2e-4, kXavierNormal, 50, 3, 20);
  expect_point(fast[37], 1, 1024, 3.2e-4, kXavierUniform, 50, 10, 20);
  const auto faster = grid_points("faster", {});
  ASSERT_EQ(faster.size(), 64U);
  expect_point(faster[13], 0, 64, 3.2e-4, kXavierNormal, 10, 1, 3);
  expect_point(faster[37], 0, 128, 3.2e-4, kXavierUniform, 10, 1, 3);
}

TEST(GridTest, HasTheTwoReleasedPoints) {
  const auto released = grid_points("released", {});
  ASSERT_EQ(released.size(), 2U);
  EXPECT_EQ(released[0].dropout, 0.1);
  EXPECT_EQ(released[1].dropout, 0.25);
  expect_point(released[1], 1, 1024, 1e-4, Initialization::kXavierNormal, 500, 3, 20);
  EXPECT_THROW(grid_points("slow", {}), Error);
}

TEST(GridTest, TakesTheValuesOfTheTask) {
  TaskMetadata dcase;
  dcase.task_name = "dcase2016_task2";
  const auto fast = grid_points("fast", dcase);
  ASSERT_EQ(fast.size(), 32U);  // one number of epochs between validations instead of two
  for (const DownstreamConfig& point : fast) EXPECT_EQ(point.check_val_every_n_epoch, 10);

  TaskMetadata maestro;
  maestro.task_specific_param_grid = {{"max_epochs", {50}}, {"check_val_every_n_epoch", {1}}, {"dropout", {0.1, 0.2}}};
  const auto points = grid_points("released", maestro);
  ASSERT_EQ(points.size(), 2U);
  EXPECT_EQ(points[1].max_epochs, 50);
  EXPECT_EQ(points[1].check_val_every_n_epoch, 1);
  EXPECT_EQ(points[1].dropout, 0.2);

  maestro.task_specific_param_grid = {{"max_epochs", {0.5}}};
  EXPECT_THROW(grid_points("released", maestro), Error);
  maestro.task_specific_param_grid = {{"momentum", {0.9}}};
  EXPECT_THROW(grid_points("released", maestro), Error);
}

}  // namespace
}  // namespace axlstm::hear
