#include "axlstm/suite/suite.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::suite {
namespace {

config::HearConfig config_of(const std::vector<std::string>& models) {
  config::HearConfig config;
  config.models = models;
  config.tasks = {std::string(AXLSTM_TEST_DATA) + "/data/hear/tasks"};
  return config;
}

TEST(Suite, ModelsNeedNamesOfTheirOwn) {
  EXPECT_NO_THROW(Suite(config_of({"runs/a", "runs/b/", "x=runs/a", "random:c/tiny.yaml", "naive"})));
  test::expect_usage_error([] { Suite(config_of({"runs/a", "other/a"})); }, {"'a'", "name=checkpoint"});
  // What stands before a colon is a part of the name, unless it is one of a folder's.
  EXPECT_NO_THROW(Suite(config_of({"random:c/tiny.yaml", "tiny.yaml", "runs/c:tiny", "tiny"})));
  test::expect_usage_error([] { Suite(config_of({"random:c/tiny.yaml", "random-tiny"})); }, {"'random-tiny'"});
  test::expect_usage_error([] { Suite(config_of({"runs/c:tiny", "d/c:tiny"})); }, {"'c:tiny'"});
  test::expect_usage_error([] { Suite(config_of({".."})); }, {"hear.models", "'..'"});
  test::expect_usage_error([] { Suite(config_of({"a/b=runs/c"})); }, {"hear.models", "no usable name"});
}

TEST(Suite, TasksThatAreNotThereAreNamed) {
  auto config = config_of({"naive"});
  config.tasks = {"/no/such/task"};
  test::expect_usage_error([&] { Suite suite(config); }, {"hear.tasks", "/no/such/task"});
}

TEST(Suite, WithoutEmbeddingsThereIsNothingToEvaluate) {
  const std::atomic<bool> stop{false};
  EXPECT_EQ(Suite(config_of({"naive"})).evaluate(stop), kFailed);
}

}  // namespace
}  // namespace axlstm::suite
