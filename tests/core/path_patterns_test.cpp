#include "axlstm/core/path_patterns.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm {
namespace {

using Words = std::vector<std::string>;

// What bash 5.2 prints for `echo PATTERN`.
TEST(Braces, ExpandAsBashDoesIt) {
  EXPECT_EQ(expand_braces("a.tar"), Words{"a.tar"});
  EXPECT_EQ(expand_braces("a{1,2}b"), (Words{"a1b", "a2b"}));
  EXPECT_EQ(expand_braces("{000008..000011}.tar"), (Words{"000008.tar", "000009.tar", "000010.tar", "000011.tar"}));
  EXPECT_EQ(expand_braces("{8..11}"), (Words{"8", "9", "10", "11"}));
  EXPECT_EQ(expand_braces("{3..1}"), (Words{"3", "2", "1"}));
  EXPECT_EQ(expand_braces("{1..10..4}"), (Words{"1", "5", "9"}));
  EXPECT_EQ(expand_braces("{10..1..-4}"), (Words{"10", "6", "2"}));
  EXPECT_EQ(expand_braces("{01..100..50}"), (Words{"001", "051"}));
  EXPECT_EQ(expand_braces("{-01..1}"), (Words{"-01", "000", "001"}));
  EXPECT_EQ(expand_braces("{a..c}"), (Words{"a", "b", "c"}));
  EXPECT_EQ(expand_braces("{train,test-{0..1}}/{x,y}"),
            (Words{"train/x", "train/y", "test-0/x", "test-0/y", "test-1/x", "test-1/y"}));
  EXPECT_EQ(expand_braces("{a,}b"), (Words{"ab", "b"}));
  for (const char* plain : {"{a}", "{}", "a{", "{a..}", "{1..b}", "a}b", "{1..2..3..4}"})
    EXPECT_EQ(expand_braces(plain), Words{plain}) << plain;
  EXPECT_EQ(expand_braces("{a}{1,2}"), (Words{"{a}1", "{a}2"}));
}

TEST(Braces, WithoutBoundAreRefused) {
  test::expect_usage_error([] { expand_braces("{0..9999999}"); }, {"{0..9999999}"});
  test::expect_usage_error([] { expand_braces("{0..9999}{0..9999}"); }, {"names"});
  std::string deep = "b";
  for (int n = 0; n < 5000; ++n) deep = "{a," + deep + "}";
  test::expect_usage_error([&] { expand_braces(deep); }, {"braces"});
}

TEST(Paths, ArePatternsOnlyWhereNothingHasTheName) {
  const test::TemporaryFolder folder;
  for (const char* name : {"a-0.tar", "a-1.tar", "a-10.tar", "[x]{1,2}.tar"}) folder.write(name, "");
  const auto names = [&](const Words& patterns) {
    Words given, found;
    for (const std::string& pattern : patterns) given.push_back((folder.path() / pattern).string());
    for (const auto& path : expand_paths(given)) found.push_back(path.filename().string());
    return found;
  };
  EXPECT_EQ(names({"a-{0..1}.tar"}), (Words{"a-0.tar", "a-1.tar"}));
  EXPECT_EQ(names({"a-*.tar"}), (Words{"a-0.tar", "a-1.tar", "a-10.tar"}));
  EXPECT_EQ(names({"a-1?.tar", "a-0.tar"}), (Words{"a-10.tar", "a-0.tar"}));
  EXPECT_EQ(names({"[x]{1,2}.tar"}), Words{"[x]{1,2}.tar"});
  test::expect_error([&] { names({"a-{0..2}.tar"}); }, {"a-2.tar", "no such", "a-{0..2}.tar"});
  test::expect_error([&] { names({"b*.tar"}); }, {"b*.tar", "nothing"});
}

}  // namespace
}  // namespace axlstm
