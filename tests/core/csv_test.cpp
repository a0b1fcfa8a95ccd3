#include "axlstm/core/csv.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace axlstm {
namespace {

using Fields = std::vector<std::string>;

TEST(Csv, SplitsRowsAndFields) {
  const auto rows = parse_csv("a,b\n1,2\n", "t.csv");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].fields, (Fields{"a", "b"}));
  EXPECT_EQ(rows[1].fields, (Fields{"1", "2"}));
  EXPECT_EQ(rows[1].line, 2);
}

TEST(Csv, EmptyFieldsStayInPlace) {
  const auto rows = parse_csv(",b,\n", "t.csv");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].fields, (Fields{"", "b", ""}));
  EXPECT_EQ(parse_csv("a,", "t.csv").at(0).fields, (Fields{"a", ""}));
}

TEST(Csv, TheLastLineNeedsNoLineBreak) { EXPECT_EQ(parse_csv("a,b\n1,2", "t.csv").at(1).fields, (Fields{"1", "2"})); }

TEST(Csv, CarriageReturnsAndTheByteOrderMarkAreDropped) {
  const auto rows = parse_csv("\xef\xbb\xbfpath,start\r\nx.wav,\"1\"\r\n", "t.csv");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].fields, (Fields{"path", "start"}));
  EXPECT_EQ(rows[1].fields, (Fields{"x.wav", "1"}));
}

TEST(Csv, QuotedFieldsHoldCommasQuotesAndLineBreaks) {
  const auto rows = parse_csv("\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\nnext,1,2\n", "t.csv");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].fields, (Fields{"a,b", "say \"hi\"", "two\nlines"}));
  EXPECT_EQ(rows[1].line, 3);
}

TEST(Csv, SpacesAfterACommaAreDropped) {
  const auto rows = parse_csv("--PJHxphWEs, 30.000, 40.000, \"/m/09x0r,/t/dd00088\"\n", "t.csv");
  EXPECT_EQ(rows.at(0).fields, (Fields{"--PJHxphWEs", "30.000", "40.000", "/m/09x0r,/t/dd00088"}));
}

TEST(Csv, SpacesInsideAFieldStay) {
  EXPECT_EQ(parse_csv("my file.wav,1\n", "t.csv").at(0).fields.at(0), "my file.wav");
}

TEST(Csv, BlankLinesAreDroppedButCounted) {
  const auto rows = parse_csv("a\n\n\r\nb\n", "t.csv");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].line, 4);
  EXPECT_TRUE(parse_csv("", "t.csv").empty());
  EXPECT_TRUE(parse_csv("\n \n", "t.csv").empty());
}

TEST(Csv, AnUnclosedQuoteNamesItsLine) {
  test::expect_error([] { parse_csv("a,b\nc,\"d\ne,f\n", "list.csv"); }, {"list.csv:2", "never closed"});
  test::expect_error([] { parse_csv("\"", "list.csv"); }, {"list.csv:1"});
}

}  // namespace
}  // namespace axlstm
