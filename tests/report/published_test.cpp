#include "axlstm/report/published.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace axlstm::report {
namespace {

TEST(PublishedTest, KnowsTheTasksByTheirFolders) {
  EXPECT_EQ(paper_task_of("esc50-v2.0.0-full"), 8U);
  EXPECT_EQ(paper_task_of("nsynth_pitch-v2.2.3-5h"), 3U);
  EXPECT_FALSE(paper_task_of("nsynth_pitch-v2.2.3-50h"));
  EXPECT_FALSE(paper_task_of("speech_commands-v0.0.2-full"));
  EXPECT_FALSE(paper_task_of("drumkit-v1-full"));
}

TEST(PublishedTest, HoldsTable2) {
  const auto rows = parse_published(table2_csv(), "table2.csv");
  ASSERT_EQ(rows.size(), 20U);
  EXPECT_EQ(rows.front().model, "HEAR-Naive");
  EXPECT_EQ(rows.back().model, "AxLSTM-B");
  EXPECT_EQ(rows.back().group, "Proposed");
  EXPECT_EQ(rows.back().scores.at(3).mean, 71.4);
  EXPECT_EQ(rows.back().scores.at(3).half_width, 0.8);
  EXPECT_EQ(rows.back().s.mean, 86.6);
}

TEST(PublishedTest, ItsScaleMeetsEveryPrintedAggregate) {
  for (const PublishedRow& row : parse_published(table2_csv(), "table2.csv")) {
    std::vector<double> scores;
    for (const PublishedValue& value : row.scores) scores.push_back(value.mean);
    EXPECT_NEAR(published_s(scores), row.s.mean, 0.1) << row.model;  // printed with one digit
  }
}

TEST(PublishedTest, NamesWhatIsWrong) {
  const std::string text = table2_csv();
  test::expect_error([] { parse_published("", "t.csv"); }, {"t.csv", "empty"});
  test::expect_error([] { parse_published("group,model\nA,B\n", "t.csv"); }, {"t.csv", "s(m)"});
  std::string damaged = text;
  damaged.replace(damaged.find("94.9"), 4, "high");
  test::expect_error([&] { parse_published(damaged, "t.csv"); }, {"t.csv:", "BO \"high\" is no number"});
  test::expect_error([] { published_s(std::vector<double>{1.0}); }, {"10 tasks, got 1"});
}

}  // namespace
}  // namespace axlstm::report
