#include "axlstm/sweep/plan.h"

#include <gtest/gtest.h>

#include <iomanip>
#include <map>
#include <sstream>

#include "axlstm/core/files.h"
#include "axlstm/report/published.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::sweep {
namespace {

constexpr const char* kBase = "model:\n  size: custom\n  dim: 16\n  depth: 2\n";

class PlanTest : public testing::Test {
 protected:
  Plan load(const std::string& yaml, const std::vector<std::string>& assignments = {}) {
    write_file_atomic(folder_.path() / "base.yaml", kBase);
    write_file_atomic(folder_.path() / "sweep.yaml", yaml);
    return load_plan(folder_.path() / "sweep.yaml", assignments);
  }

  test::TemporaryFolder folder_;
};

const std::string kHead = "sweep: {base: base.yaml, output: out, seeds: 2}\nhear: {tasks: [tasks]}\n";

TEST_F(PlanTest, ReadsCells) {
  const Plan plan =
      load(kHead +
               "set: {optim.epochs: 30}\n"
               "cells:\n"
               "  - {name: 'AxLSTM, E 2', set: {model.expansion: 2}, published: 70.1±0.3}\n"
               "  - {name: SSAST, seeds: 1, set: {model.arch: ssast, optim.epochs: 40, model.attention_heads: 2}}\n"
               "  - {name: Untrained, model: untrained}\n"
               "  - {name: Naive, model: naive}\n",
           {"optim.global_batch=8", "hear.seeds=3", "sweep.first_seed=5"});
  ASSERT_EQ(plan.cells.size(), 4U);
  EXPECT_EQ(plan.cells[0].id, "axlstm-e-2");
  EXPECT_EQ(plan.cells[0].published, "70.1±0.3");
  EXPECT_EQ(plan.cells[0].config.model.expansion, 2);
  EXPECT_EQ(plan.cells[0].config.model.dim, 16);
  EXPECT_EQ(plan.cells[0].config.optim.epochs, 30);
  EXPECT_EQ(plan.cells[1].config.optim.epochs, 40);  // a cell's own settings win over all cells'
  EXPECT_EQ(plan.cells[1].config.optim.global_batch, 8);
  EXPECT_EQ(plan.cells[2].model, CellModel::kUntrained);
  EXPECT_EQ(plan.hear.seeds, 3);

  const auto runs = runs_of(plan);
  ASSERT_EQ(runs.size(), 6U);  // 2 + 1 + 2 + 1
  EXPECT_EQ(runs[0].folder, plan.output / "cells" / "axlstm-e-2.s5");
  EXPECT_EQ(runs[4].folder, plan.output / "cells" / "axlstm-e-2.s6");  // seed after seed
  EXPECT_EQ(embedding_name(plan, runs[4], "released"), "axlstm-e-2.s6.released");
  EXPECT_EQ(layouts_of(plan, plan.cells[3]), std::vector<std::string>{""});
}

TEST_F(PlanTest, ReadsFineTuning) {
  folder_.write("recipe.yaml", "optim: {epochs: 50, layer_decay: 0.9}\ntrain: {run_dir: runs/elsewhere}\n");
  const Plan plan = load(kHead +
                             "finetune: {tasks: [a, b], config: recipe.yaml, seeds: 3, set: {optim.epochs: 40,"
                             " head.hidden: 8}}\n"
                             "cells:\n  - {name: E 2, set: {model.expansion: 2, optim.epochs: 70}}\n"
                             "  - {name: Untrained, model: untrained}\n  - {name: Naive, model: naive}\n",
                         {"finetune.seeds=2", "finetune.set.head.hidden=16"});
  EXPECT_EQ(plan.finetuning.tasks, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(plan.finetuning.seeds, 2);
  const config::RunConfig& config = plan.cells[0].finetuning;
  EXPECT_EQ(config.objective, objective::Kind::kClassification);
  EXPECT_EQ(config.model.expansion, 2) << "of the cell's encoder";
  EXPECT_EQ(config.optim.epochs, 40) << "not the pre-training's";
  EXPECT_EQ(config.optim.layer_decay, 0.9);
  EXPECT_EQ(config.head.hidden, 16);
  EXPECT_EQ(plan.cells[1].finetuning.model.expansion, 3);
  EXPECT_EQ(finetuning_folder(plan, runs_of(plan)[0], 1, "a"), plan.output / "finetuned" / "e-2.s0_1" / "a");

  const auto expect = [&](const std::string& section, std::initializer_list<std::string> parts) {
    test::expect_usage_error(
        [&] { load(kHead + "cells:\n  - {name: only}\n  - {name: raw, model: untrained}\n" + section); }, parts);
  };
  expect("finetune: {task: [a]}\n", {"unknown key 'finetune.task'", "finetune.tasks"});
  expect("finetune: {tasks: [a], set: {train.seed: 3}}\n", {"sweep.yaml:6:", "train.seed: a sweep sets this itself"});
  expect("finetune: {tasks: [a], set: {head.hiden: 3}}\n", {"cell 'only'", "unknown key 'head.hiden'"});
  expect("finetune: {tasks: [a], set: {classification.train: head}}\n", {"cell 'raw'", "no classification.encoder"});
  test::expect_usage_error(
      [&] { load(kHead + "finetune: {tasks: [a]}\ncells:\n  - {name: only}\n", {"finetune.set.data.task=b"}); },
      {"command line", "data.task: a sweep sets this itself"});
}

TEST_F(PlanTest, ReadsGrids) {
  const Plan plan = load(kHead + "grid:\n  model.expansion: [2, 3]\n  model.flip: [true, false]\n");
  ASSERT_EQ(plan.cells.size(), 4U);
  EXPECT_EQ(plan.cells[1].name, "expansion=2 flip=false");
  EXPECT_EQ(plan.cells[1].config.model.expansion, 2);
  EXPECT_FALSE(plan.cells[1].config.model.flip);
  EXPECT_EQ(plan.cells[3].id, "expansion-3-flip-false");
}

TEST_F(PlanTest, NamesWhatIsWrong) {
  const auto expect = [&](const std::string& yaml, std::initializer_list<std::string> parts) {
    test::expect_usage_error([&] { load(yaml); }, parts);
  };
  expect(kHead, {"sweep.yaml", "neither cells nor grid"});
  expect(kHead + "cells:\n  - {name: a, sede: 3}\n", {"sweep.yaml:4:", "unknown key 'sede'"});
  expect(kHead + "cells:\n  - {name: a, model: random}\n", {"model is 'random'", "trained, untrained, naive"});
  expect(kHead + "cells:\n  - {name: a, seeds: [3]}\n", {"sweep.yaml:4:", "seeds takes a text"});
  expect(kHead + "cells:\n  - {name: a, set: {model.expanson: 2}}\n",
         {"unknown key 'model.expanson'", "model.expansion"});
  expect(kHead + "cells:\n  - {name: a b}\n  - {name: A-b}\n", {"two cells are called 'a-b'"});
  expect(kHead + "cells:\n  - {set: {model.expansion: 2}}\n", {"a cell needs a name"});
  expect(kHead + "cells: []\nextra: 1\n", {"unknown section 'extra'"});
  expect(kHead + "grid: {model.flip: true}\n", {"model.flip takes a list"});
  std::string lists;
  for (int n = 0; n < 60; ++n) lists += "  model.key" + std::to_string(n) + ": [1, 2]\n";
  expect(kHead + "grid:\n" + lists, {"sweep.yaml:3:", "more than 1000 cells"});  // 2^60
  expect("sweep: {output: out}\nhear: {tasks: [t]}\ncells:\n  - {name: a}\n", {"no configuration"});
  expect("sweep: {base: base.yaml, columns: [model.bogus]}\nhear: {tasks: [t]}\ncells:\n  - {name: a}\n",
         {"sweep.columns", "'model.bogus'"});
  expect("sweep: {base: base.yaml, layouts: [mixed]}\nhear: {tasks: [t]}\ncells:\n  - {name: a}\n", {"'mixed'"});
  expect("sweep: {base: base.yaml}\nhear: {tasks: [t], models: [m]}\ncells:\n  - {name: a}\n",
         {"hear.models: a sweep sets this itself"});
}

/// Every sweep of configs/ablation: it loads, and has the cells of the paper's table.
TEST(AblationConfigsTest, Load) {
  const std::filesystem::path folder = std::filesystem::path(AXLSTM_TEST_DATA).parent_path() / "configs" / "ablation";
  const std::map<std::string, std::size_t> cells{
      {"table2", 16},       {"table3", 6}, {"table4", 8},     {"table5", 10},    {"mask", 6},
      {"table5_quick", 10}, {"real", 9},   {"real_more", 15}, {"real_long", 11}, {"backbones", 16}};
  for (const auto& [name, count] : cells) {
    SCOPED_TRACE(name);
    EXPECT_EQ(load_plan(folder / (name + ".yaml"), {}).cells.size(), count);
  }
  const Plan table5 = load_plan(folder / "table5.yaml", {});
  EXPECT_EQ(table5.cells[0].config.model.expansion, 2);
  EXPECT_TRUE(table5.cells[0].config.model.flip);
  EXPECT_EQ(table5.cells[7].config.model.input_gate, ops::InputGate::kSigmoid);
  EXPECT_FALSE(table5.cells[7].config.model.flip);
  const Plan table2 = load_plan(folder / "table2.yaml", {});
  EXPECT_EQ(table2.cells[9].config.decoder.windows.size(), 8U);
  EXPECT_EQ(table2.cells[9].config.optim.decay, train::Decay::kAll);
  EXPECT_FALSE(table2.cells[14].config.model.class_token);
  const Plan table4 = load_plan(folder / "table4.yaml", {});
  EXPECT_EQ(table4.cells[0].config.model.patches(), 125);
  EXPECT_EQ(table4.cells[5].config.model.patches(), 500);
}

/// The paper calls some of them otherwise: "SSAM-Tiny", "MWMAE-Tiny", "HEAR-Naive".
TEST(AblationConfigsTest, Table2sCellsHaveThePrintedScoresOfTheirRows) {
  const auto file = std::filesystem::path(AXLSTM_TEST_DATA).parent_path() / "configs" / "ablation" / "table2.yaml";
  const auto short_name = [](const std::string& model) {
    if (model == "HEAR-Naive") return std::string("HEAR-naive");
    if (model.starts_with("MWMAE-")) return "MW-MAE-" + model.substr(6, 1);
    return model.starts_with("SSAM-") ? model.substr(0, 6) : model;
  };
  std::map<std::string, std::string> printed;
  for (const report::PublishedRow& row : report::parse_published(report::table2_csv(), "table2.csv")) {
    std::ostringstream score;
    score << std::fixed << std::setprecision(1) << row.s.mean << "±" << row.s.half_width;
    printed[short_name(row.model)] = score.str();
  }
  int compared = 0;
  for (const Cell& cell : load_plan(file, {}).cells) {
    if (cell.model == CellModel::kUntrained) continue;
    EXPECT_EQ(cell.published, printed[cell.name]) << cell.name;
    ++compared;
  }
  EXPECT_EQ(compared, 12);
}

}  // namespace
}  // namespace axlstm::sweep
