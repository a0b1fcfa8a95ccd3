#include "axlstm/report/report.h"

#include <gtest/gtest.h>

#include <cmath>

#include "axlstm/core/files.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::report {
namespace {

namespace fs = std::filesystem;

SeedScore score(const std::string& model, const std::string& task, std::uint64_t seed, double value,
                const std::string& grid = "released") {
  return {model, task, seed, grid, value, "f"};
}

/// Two models, two tasks, two seeds.
std::vector<SeedScore> two_models() {
  return {score("ours", "drums-v1-full", 0, 0.80),   score("ours", "drums-v1-full", 1, 0.82),
          score("ours", "speech-v1-full", 0, 0.50),  score("ours", "speech-v1-full", 1, 0.50),
          score("naive", "drums-v1-full", 0, 0.40),  score("naive", "drums-v1-full", 1, 0.42),
          score("naive", "speech-v1-full", 0, 0.30), score("naive", "speech-v1-full", 1, 0.30)};
}

std::vector<SeedScore> all_paper_tasks(const std::string& grid = "released") {
  std::vector<SeedScore> scores;
  for (const PaperTask& task : paper_tasks()) {
    scores.push_back(score("ours", std::string(task.folder) + "v1" + std::string(task.folder_mode), 0, 0.9, grid));
  }
  return scores;
}

std::vector<PublishedRow> published() { return parse_published(table2_csv(), "table2.csv"); }

TEST(ReportTest, AveragesOverSeedsAndTasks) {
  const Report report = make_report(two_models(), {});
  ASSERT_EQ(report.tables.size(), 1U);
  const ReportTable& table = report.tables.front();
  EXPECT_EQ(table.columns, (std::vector<std::string>{"drums-v1-full", "speech-v1-full"}));
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].model, "ours");
  EXPECT_DOUBLE_EQ(table.rows[0].scores[0]->mean, 81.0);
  EXPECT_NEAR(*table.rows[0].scores[0]->half_width, 12.706204736174694, 1e-6);  // standard error 1, one degree
  EXPECT_EQ(table.rows[0].scores[0]->n, 2U);
  EXPECT_DOUBLE_EQ(table.rows[0].s_table->mean, 100.0);
  EXPECT_DOUBLE_EQ(table.rows[1].s_table->mean, 0.0);
  // Over the seeds s is 100 · (39/40 + 1)/2 and 100 · (41/40 + 1)/2: standard error 1.25.
  EXPECT_NEAR(*table.rows[0].s_table->half_width, 1.25 * 12.706204736174694, 1e-6);
  EXPECT_FALSE(table.rows[0].s_published);
}

TEST(ReportTest, GivesNoAggregateToARowThatLacksATask) {
  auto scores = two_models();
  scores.resize(6);  // naive lacks speech
  const ReportTable table = make_report(scores, {}).tables.front();
  EXPECT_TRUE(table.rows[0].s_table);
  EXPECT_FALSE(table.rows[1].s_table);
  EXPECT_FALSE(table.rows[1].scores[1]);
  // Speech has one row: its minimum is its maximum, which counts 0.
  EXPECT_DOUBLE_EQ(table.rows[0].s_table->mean, 50.0);
}

TEST(ReportTest, PutsThePaperBesideItsTasks) {
  auto scores = all_paper_tasks();
  scores.push_back(score("ours", "drums-v1-full", 0, 0.5));
  const Report report = make_report(scores, {.published = published()});
  ASSERT_EQ(report.tables.size(), 2U);
  const ReportTable& table = report.tables[0];
  ASSERT_EQ(table.rows.size(), 21U);
  EXPECT_EQ(table.columns.front(), "BO");
  EXPECT_EQ(table.rows.front().s_published->mean, 5.1);  // as printed, not as computed
  EXPECT_NEAR(table.rows.front().s_table->mean, 0.0, 0.3);
  const ReportRow& own = table.rows.back();
  EXPECT_FALSE(own.published);
  EXPECT_DOUBLE_EQ(own.s_published->mean, published_s(std::vector<double>(10, 90.0)));
  EXPECT_EQ(report.tables[1].rows.size(), 1U);  // nothing is published for the other task
}

TEST(ReportTest, RefusesToMixGridsUnlessTold) {
  auto scores = two_models();
  scores[0].grid = "fast";
  test::expect_usage_error([&] { make_report(scores, {}); }, {"fast (ours)", "released (", "--mix-grids"});
  const Report mixed = make_report(scores, {.mix_grids = true});
  EXPECT_EQ(mixed.tables.front().rows[0].model, "ours [fast]");
  EXPECT_NE(mixed.notes.front().find("not comparable"), std::string::npos);
  // The published scores are of the grid `released`.
  test::expect_usage_error([&] { make_report(all_paper_tasks("default"), {.published = published()}); },
                           {"default (ours)", "--no-published"});
  EXPECT_NO_THROW(make_report(all_paper_tasks("default"), {}));
}

class CollectScoresTest : public testing::Test {
 protected:
  void write_score(const std::string& folder, const std::string& content) {
    folder_.write(folder + "/test.predicted-scores.json", content);
  }
  test::TemporaryFolder folder_;
};

TEST_F(CollectScoresTest, ReadsOfficialFolders) {
  write_score("axlstm_r1_00/esc50-v2.0.0-full", R"({"aggregated_scores": {"test_score_mean": 0.75}})");
  write_score("axlstm_r1_03/esc50-v2.0.0-full", R"({"test": {"test_d_prime": Infinity, "test_score": 0.5}})");
  write_score("plain/esc50-v2.0.0-full", R"({"test": {"test_score": NaN}})");
  const auto scores = collect_scores({folder_.path()});
  ASSERT_EQ(scores.size(), 3U);
  EXPECT_EQ(scores[0].model, "axlstm_r1");
  EXPECT_EQ(scores[0].task, "esc50-v2.0.0-full");
  EXPECT_EQ(scores[0].seed, 0U);
  EXPECT_EQ(scores[0].grid, "unknown");
  EXPECT_EQ(scores[0].score, 0.75);
  EXPECT_EQ(scores[1].seed, 3U);
  EXPECT_EQ(scores[1].score, 0.5);
  EXPECT_EQ(scores[2].model, "plain");
  EXPECT_TRUE(std::isnan(scores[2].score));
}

TEST_F(CollectScoresTest, PrefersTheNoteBesideTheScores) {
  write_score("x/y", R"({"test": {"test_score": 0.5}})");
  folder_.write("x/y/prediction-done.json", R"({"model": "tiny", "task": "esc50-v2.0.0-full", "seed": 7,
      "grid": "default", "grid_points": 3, "embeddings": "0"})");
  const auto scores = collect_scores({folder_.path()});
  ASSERT_EQ(scores.size(), 1U);
  EXPECT_EQ(scores[0].model, "tiny");
  EXPECT_EQ(scores[0].seed, 7U);
  EXPECT_EQ(scores[0].grid, "default of 3");
  folder_.write("x/y/prediction-done.json", R"({"model": "tiny", "grid": "default"})");
  test::expect_error([&] { collect_scores({folder_.path()}); }, {"prediction-done.json", "damaged"});
}

TEST_F(CollectScoresTest, NamesWhatIsWrong) {
  test::expect_usage_error([&] { collect_scores({folder_.path()}); }, {folder_.path().string(), "no test.predicted"});
  test::expect_usage_error([&] { collect_scores({folder_.path() / "gone"}); }, {"gone", "no such folder"});
  write_score("m_0/t", R"({"hparams": {}})");
  test::expect_error([&] { collect_scores({folder_.path()}); }, {"m_0/t", "test_score"});
  write_score("m_0/t", R"({"test": {"test_score": 0.5}})");
  write_score("m_00/t", R"({"test": {"test_score": 0.5}})");
  test::expect_error([&] { collect_scores({folder_.path()}); }, {"m_00/t", "the same model", "m_0/t"});
}

TEST(ReportTextTest, RendersEveryFormat) {
  auto scores = all_paper_tasks();
  scores[0].score = 0.5;
  for (SeedScore& entry : scores) entry.model = "my_<model>&";
  scores.push_back(score("my_<model>&", "a,b-v1", 0, 0.25));
  const Report report = make_report(scores, {.published = published()});

  const std::string terminal = terminal_report(report);
  EXPECT_NE(terminal.find("-- Evaluated here\nmy_<model>&  "), std::string::npos) << terminal;
  EXPECT_NE(terminal.find("93.6±0.9"), std::string::npos);

  const std::string markdown = markdown_report(report);
  EXPECT_NE(markdown.find("| Proposed | AxLSTM-B | 93.6 ± 0.9 | "), std::string::npos) << markdown;
  EXPECT_NE(markdown.find("| Evaluated here | my\\_\\<model>& | 50.0 | 90.0 |"), std::string::npos);

  const std::string latex = latex_report(report);
  EXPECT_NE(latex.find("\\begin{tabular}{lrrrrrrrrrrrr}"), std::string::npos) << latex;
  EXPECT_NE(latex.find("my\\_<model>\\& & 50.0"), std::string::npos);
  EXPECT_NE(latex.find("93.6{\\scriptsize$\\pm$0.9}"), std::string::npos);

  const std::string csv = csv_report(report);
  EXPECT_EQ(csv.find("table,group,model,grid,BO,BO_ci95,BO_seeds,Mri-S,"), 0U) << csv;
  EXPECT_NE(csv.find("Tasks of the paper,Proposed,AxLSTM-B,released,93.6000,0.9000,,"), std::string::npos);
  EXPECT_NE(csv.find("\"a,b-v1\",\"a,b-v1_ci95\""), std::string::npos);

  const std::string html = html_report(report);
  EXPECT_NE(html.find("my_&lt;model&gt;&amp;"), std::string::npos);
  EXPECT_EQ(html.find("<model>"), std::string::npos);
  EXPECT_NE(html.find("</svg>my_&lt;model&gt;&amp;</li>"), std::string::npos) << "the legend";
  EXPECT_NE(html.find("</svg>published</li>"), std::string::npos);
  EXPECT_NE(html.find("<g><title>AxLSTM-B, BO: 93.6 ± 0.9</title>"), std::string::npos) << "the name on hover";
  EXPECT_NE(html.find("aria-label=\"s(m), published scale\""), std::string::npos);
  EXPECT_EQ(html.find("src="), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace axlstm::report
