#include "axlstm/sweep/table.h"

#include <gtest/gtest.h>

#include "axlstm/core/error.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::sweep {
namespace {

class TableTest : public testing::Test {
 protected:
  TableTest() {
    folder_.write("base.yaml", "model:\n  size: custom\n  dim: 16\n  depth: 2\n");
    folder_.write("sweep.yaml",
                  "sweep: {base: base.yaml, title: Gates, columns: [model.expansion, model.flip]}\n"
                  "hear: {tasks: [t]}\n"
                  "cells:\n"
                  "  - {name: two, seeds: 2, set: {model.expansion: 2}, published: 70.1}\n"
                  "  - {name: one, set: {model.flip: true}}\n"
                  "  - {name: mamba, set: {model.arch: ssam}}\n"
                  "  - {name: late}\n"
                  "  - {name: naive, model: naive}\n");
    plan_ = load_plan(folder_.path() / "sweep.yaml", {"sweep.output=" + (folder_.path() / "out").string()});
    options_.parameters = [](const config::RunConfig& config) { return config.model.expansion * 1'000'000; };
  }

  void score(const std::string& model, int seed, const std::string& task, double value) const {
    folder_.write("out/scores/" + model + "_" + std::to_string(seed) + "/" + task + "/test.predicted-scores.json",
                  "{\"test\": {\"test_score\": " + std::to_string(value) + "}}");
  }

  test::TemporaryFolder folder_;
  Plan plan_;
  TableOptions options_;
};

TEST_F(TableTest, HasARowForEachCellWithSettingsParametersAndThePapersScore) {
  // Two pre-trainings with two downstream seeds each: the interval is over the former.
  for (const int seed : {0, 1}) {
    score("two.s0.time_frequency", seed, "bird-v1-full", seed == 0 ? 0.5 : 0.7);
    score("two.s1.time_frequency", seed, "bird-v1-full", seed == 0 ? 0.6 : 1.0);
    score("one.s0.time_frequency", seed, "bird-v1-full", 0.3);
    score("mamba.s0.time_frequency", seed, "bird-v1-full", 0.3);
  }
  score("naive.s0", 0, "bird-v1-full", 0.1);
  score("stranger.s0", 0, "bird-v1-full", 0.9);

  const report::Report report = make_table(plan_, options_);
  ASSERT_EQ(report.tables.size(), 1U);
  const report::ReportTable& table = report.tables[0];
  EXPECT_EQ(table.title, "Gates: Tasks");
  EXPECT_EQ(table.facts, (std::vector<std::string>{"model.expansion", "model.flip", "parameters [M]", "paper s(m)"}));
  ASSERT_EQ(table.rows.size(), 4U);  // not the stranger, nor what has no scores
  EXPECT_EQ(table.rows[0].model, "two");
  EXPECT_EQ(table.rows[0].facts, (std::vector<std::string>{"2", "false", "2.00", "70.1"}));
  EXPECT_NEAR(table.rows[0].scores[0]->mean, 70.0, 1e-9);
  EXPECT_EQ(table.rows[0].scores[0]->n, 2U);
  EXPECT_NEAR(*table.rows[0].scores[0]->half_width, 12.706 * 10.0, 0.1);
  EXPECT_EQ(table.rows[1].facts, (std::vector<std::string>{"3", "true", "3.00", ""}));
  EXPECT_EQ(table.rows[1].scores[0]->n, 2U);                                        // downstream seeds
  EXPECT_EQ(table.rows[2].facts, (std::vector<std::string>{"3", "", "3.00", ""}));  // it has no flip
  EXPECT_EQ(table.rows[3].facts, (std::vector<std::string>{"", "", "", ""}));

  const std::string text = report::terminal_report(report), csv = report::csv_report(report);
  EXPECT_NE(text.find("parameters [M]"), std::string::npos);
  EXPECT_NE(text.find("Not evaluated yet: late."), std::string::npos) << text;
  EXPECT_NE(csv.find("table,group,model,grid,model.expansion,model.flip,parameters [M],paper s(m),bird-v1-full"),
            std::string::npos)
      << csv;
  EXPECT_NE(csv.find("two,unknown,2,false,2.00,70.1,70.0000,"), std::string::npos) << csv;
  EXPECT_NE(report::latex_report(report).find("two & 2 & false & 2.00 & 70.1 & 70.0"), std::string::npos);
  EXPECT_NE(report::markdown_report(report).find("| two | 2 | false | 2.00 | 70.1 | 70.0 ± 127.1 |"),
            std::string::npos);
  EXPECT_NE(report::html_report(report).find("<td>two</td><td>2</td><td>false</td><td>2.00</td>"), std::string::npos);
}

TEST_F(TableTest, FineTunedEncodersHaveATableOfTheirOwn) {
  plan_ = load_plan(folder_.path() / "sweep.yaml",
                    {"sweep.output=" + (folder_.path() / "out").string(), "finetune.tasks=t", "finetune.seeds=2"});
  const auto finetuned = [&](const std::string& folder, const std::string& file, const std::string& json) {
    folder_.write("out/finetuned/" + folder + "/" + file, R"({"task_score": )" + json + "}");
  };
  for (const int seed : {0, 1}) {
    const std::string of = "_" + std::to_string(seed);
    finetuned("two.s0" + of + "/bird-v1-full", "test.json", R"({"name": "mAP", "value": 0.5})");
    finetuned("two.s1" + of + "/bird-v1-full", "test.json",
              R"({"name": "mAP", "value": 0.)" + std::to_string(6 + 2 * seed) + "}");
    finetuned("one.s0" + of + "/esc50-v2.0.0-full", "scores.json", R"({"name": "top1_acc", "mean": 0.9, "std": 0.1})");
  }
  finetuned("mamba.s0_0/bird-v1-full", "test.json", R"({"name": "mAP", "value": null})");
  const report::Report alone = make_table(plan_, options_);
  ASSERT_EQ(alone.tables.size(), 1U);
  score("two.s0.time_frequency", 0, "bird-v1-full", 0.3);
  const report::Report report = make_table(plan_, options_);
  ASSERT_EQ(report.tables.size(), 2U);
  EXPECT_EQ(report.tables[0].title, "Gates: Tasks");
  const report::ReportTable& table = report.tables[1];
  EXPECT_EQ(table.title, "Gates, fine-tuned: Tasks");
  EXPECT_EQ(table.columns, (std::vector<std::string>{"bird-v1-full", "esc50-v2.0.0-full"}));
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].facts, (std::vector<std::string>{"2", "false", "2.00", "70.1"}));
  EXPECT_NEAR(table.rows[0].scores[0]->mean, 60, 1e-9);
  EXPECT_EQ(table.rows[0].scores[0]->n, 2U) << "pre-trainings";
  EXPECT_FALSE(table.rows[0].scores[1].has_value());
  EXPECT_NEAR(table.rows[1].scores[1]->mean, 90, 1e-9);
  EXPECT_NE(report::terminal_report(report).find("Not fine-tuned yet: mamba; late."), std::string::npos)
      << report::terminal_report(report);
}

TEST_F(TableTest, ADecoderIsThatOfMaskedAutoencoders) {
  folder_.write(
      "sweep.yaml",
      "sweep: {base: base.yaml, columns: [decoder.dim, decoder.windows]}\n"
      "hear: {tasks: [t]}\n"
      "cells:\n"
      "  - {name: tokens}\n"
      "  - {name: windows, set: {objective.name: masked_autoencoder, model.arch: mae, model.class_token: false,"
      " model.attention_heads: 2, decoder.heads: 2, decoder.windows: '[25, global]'}}\n");
  plan_ = load_plan(folder_.path() / "sweep.yaml", {"sweep.output=" + (folder_.path() / "out").string()});
  for (const char* name : {"tokens", "windows"})
    score(std::string(name) + ".s0.time_frequency", 0, "bird-v1-full", 0.5);
  const report::Report report = make_table(plan_, options_);
  ASSERT_EQ(report.tables.at(0).rows.size(), 2U);
  EXPECT_EQ(report.tables[0].rows[0].facts, (std::vector<std::string>{"", "", "3.00", ""}));
  EXPECT_EQ(report.tables[0].rows[1].facts, (std::vector<std::string>{"384", "25, global", "3.00", ""}));
}

TEST_F(TableTest, SaysThatThereIsNothingYet) {
  test::expect_usage_error([&] { make_table(plan_, options_); }, {"out/scores", "no scores yet"});
  score("stranger.s0", 0, "bird-v1-full", 0.9);
  test::expect_usage_error([&] { make_table(plan_, options_); }, {"no scores of this sweep's cells"});
}

}  // namespace
}  // namespace axlstm::sweep
