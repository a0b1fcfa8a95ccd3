#include "axlstm/config/config.h"

#include <gtest/gtest.h>

#include "config/values.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::config {
namespace {

TEST(Parse, RemembersWhereAKeyWasWritten) {
  const Node root = parse("model:\n  size: tiny\n  dim: 8\n", "x.yaml");
  const Node* dim = root.find("model")->find("dim");
  ASSERT_TRUE(dim);
  EXPECT_EQ(dim->scalar, "8");
  EXPECT_EQ(dim->origin.str(), "x.yaml:3:3");
}

TEST(Parse, AnEmptyTextSetsNothing) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n"}) {
    const Node root = parse(text, "x.yaml");
    EXPECT_EQ(root.kind, Node::Kind::kMap) << text;
    EXPECT_TRUE(root.entries.empty()) << text;
  }
}

TEST(Parse, ARepeatedKeyNamesBothPlaces) {
  test::expect_usage_error([] { parse("optim:\n  eps: 1\n  beta1: 0.5\n  eps: 2\n", "x.yaml"); },
                           {"x.yaml:4:3", "'eps'", "x.yaml:2:3"});
}

TEST(Parse, SyntaxErrorsNameThePlace) {
  test::expect_usage_error([] { parse("model:\n  size: [tiny\n", "x.yaml"); }, {"x.yaml:"});
  test::expect_usage_error([] { parse("a: b: c\n", "x.yaml"); }, {"x.yaml:1:"});
  test::expect_usage_error([] { parse("\tmodel: 1\n", "x.yaml"); }, {"x.yaml:1:"});
}

TEST(Parse, ASecondDocumentIsRefused) {
  for (const char* text :
       {"a: 1\n---\nb: 2\n", "a: 1\n...\nb: 2\n", "---\n---\nb: 2\n", "%YAML 1.2\n---\na: 1\n---\nb: 2\n"})
    test::expect_usage_error([&] { parse(text, "x.yaml"); }, {"x.yaml:", "second document"});
  test::expect_usage_error([] { parse("a: 1\n---\nb: 2\n", "x.yaml"); }, {"x.yaml:2:1"});
  for (const char* text : {"---\na: 1\n", "a: 1\n---\n", "%YAML 1.2\n---\na: 1\n...\n"})
    EXPECT_EQ(test::scalars(parse(text, "x.yaml")), (test::Scalars{{"a", "1"}})) << text;
}

TEST(Parse, TabsThatIndentAreExplained) {
  for (const char* text : {"model:\n\tsize: tiny\n", "model:\n  size: tiny\n\tdim: 3\n"})
    test::expect_usage_error([&] { parse(text, "x.yaml"); }, {"x.yaml:", "tab", "spaces"});
  EXPECT_EQ(test::scalars(parse("a:\t1\t# between\n", "x.yaml")), (test::Scalars{{"a", "1"}}));
  test::expect_usage_error([] { parse("a:\t[1\n", "x.yaml"); }, {"x.yaml:"});
}

TEST(Parse, MergeKeysAreExplained) {
  test::expect_usage_error([] { parse("a: &a {x: 1}\nb:\n  <<: *a\n", "x.yaml"); }, {"x.yaml:3:3", "extends"});
}

TEST(Parse, OnlyKeysAndValuesAreAConfiguration) {
  test::expect_usage_error([] { parse("just words\n", "x.yaml"); }, {"x.yaml:1:1", "key: value"});
  test::expect_usage_error([] { parse("- a\n- b\n", "x.yaml"); }, {"x.yaml:1:1"});
  test::expect_usage_error([] { parse("? [a, b]\n: 1\n", "x.yaml"); }, {"x.yaml:1"});
}

TEST(Parse, AliasesThatExpandWithoutBoundAreRefused) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int level = 1; level < 9; ++level) {
    const std::string below = str("*a", level - 1);
    text += str("a", level, ": &a", level, " [", below);
    for (int copy = 0; copy < 8; ++copy) text += ", " + below;
    text += "]\n";
  }
  test::expect_usage_error([&] { parse(text, "x.yaml"); }, {"x.yaml"});
}

TEST(Parse, AnAliasOfItselfIsRefused) {
  test::expect_usage_error([] { parse("a: &a [*a]\n", "x.yaml"); }, {"x.yaml"});
  test::expect_usage_error([] { parse("a: &a\n  b: *a\n", "x.yaml"); }, {"x.yaml"});
}

TEST(Merge, LaterValuesWinAndTheRestStays) {
  Node base = parse("model: {size: tiny, flip: true}\nmask: {ratio: 0.5}\n", "a.yaml");
  merge(base, parse("model: {size: base}\nloss: {region: all}\n", "b.yaml"));
  EXPECT_EQ(
      test::scalars(base),
      (test::Scalars{{"model.size", "base"}, {"model.flip", "true"}, {"mask.ratio", "0.5"}, {"loss.region", "all"}}));
  EXPECT_EQ(base.find("model")->find("size")->origin.source, "b.yaml");
}

TEST(Merge, AnEmptySectionSetsNothing) {
  Node base = parse("model: {size: base}\n", "a.yaml");
  merge(base, parse("model:\n  # size: tiny\n", "b.yaml"));
  EXPECT_EQ(test::scalars(base), (test::Scalars{{"model.size", "base"}}));
}

TEST(Load, FollowsAChainOfExtends) {
  const test::TemporaryFolder folder;
  folder.write("base/a.yaml", "optim: {epochs: 1, beta1: 0.1, beta2: 0.1}\n");
  folder.write("base/b.yaml", "extends: a.yaml\noptim: {beta1: 0.2, beta2: 0.2}\n");
  const Node root = load(folder.write("c.yaml", "extends: base/b.yaml\noptim: {beta2: 0.3}\n"));
  EXPECT_EQ(test::scalars(root),
            (test::Scalars{{"optim.epochs", "1"}, {"optim.beta1", "0.2"}, {"optim.beta2", "0.3"}}));
}

TEST(Load, OfAListTheLastFileWins) {
  const test::TemporaryFolder folder;
  folder.write("a.yaml", "optim: {epochs: 1, beta1: 0.1}\n");
  folder.write("b.yaml", "optim: {epochs: 2, eps: 0.5}\n");
  const Node root = load(folder.write("c.yaml", "extends: [a.yaml, b.yaml]\nmask: {ratio: 0.5}\n"));
  EXPECT_EQ(
      test::scalars(root),
      (test::Scalars{{"optim.epochs", "2"}, {"optim.beta1", "0.1"}, {"optim.eps", "0.5"}, {"mask.ratio", "0.5"}}));
}

TEST(Load, TwoPathsToOneFileAreNoCycle) {
  const test::TemporaryFolder folder;
  folder.write("a.yaml", "optim: {epochs: 1}\n");
  folder.write("b.yaml", "extends: a.yaml\n");
  folder.write("c.yaml", "extends: a.yaml\n");
  EXPECT_EQ(test::scalars(load(folder.write("d.yaml", "extends: [b.yaml, c.yaml]\n"))),
            (test::Scalars{{"optim.epochs", "1"}}));
}

TEST(Load, ACycleIsAnError) {
  const test::TemporaryFolder folder;
  folder.write("a.yaml", "extends: b.yaml\n");
  folder.write("b.yaml", "extends: a.yaml\n");
  test::expect_usage_error([&] { load(folder.path() / "a.yaml"); }, {"b.yaml:1:1", "a.yaml", "extends", "back"});
  test::expect_usage_error([&] { load(folder.write("self.yaml", "mask:\nextends: self.yaml\n")); }, {"self.yaml:2:1"});
}

TEST(Load, AMissingFileIsNamedWithThePlaceThatNamesIt) {
  const test::TemporaryFolder folder;
  test::expect_usage_error([&] { load(folder.path() / "none.yaml"); }, {(folder.path() / "none.yaml").string()});
  const auto child = folder.write("child.yaml", "extends: parent.yaml\n");
  test::expect_usage_error([&] { load(child); }, {(folder.path() / "parent.yaml").string(), child.string() + ":1:1"});
  const auto list = folder.write("list.yaml", "mask:\nextends:\n  - child.yaml\n  - other.yaml\n");
  folder.write("parent.yaml", "");
  test::expect_usage_error([&] { load(list); }, {(folder.path() / "other.yaml").string(), list.string() + ":4:5"});
  test::expect_usage_error([&] { load(folder.path()); }, {folder.path().string()});
}

TEST(Load, ExtendsTakesPathsOnly) {
  const test::TemporaryFolder folder;
  test::expect_usage_error([&] { load(folder.write("a.yaml", "model: {}\nextends: {a: b}\n")); },
                           {"a.yaml:2:1", "extends"});
}

TEST(Override, SetsAValueAndWinsOverTheFile) {
  Node root = parse("model: {size: tiny, flip: true}\n", "x.yaml");
  apply_override(root, "model.size=base");
  apply_override(root, "data.root=a=b c");
  apply_override(root, "data.manifest=");
  EXPECT_EQ(
      test::scalars(root),
      (test::Scalars{{"model.size", "base"}, {"model.flip", "true"}, {"data.root", "a=b c"}, {"data.manifest", ""}}));
}

TEST(Override, OneOfAHundredLevelsIsRefused) {
  Node root = parse("", "x.yaml");
  std::string path = "a";
  for (int n = 0; n < 100'000; ++n) path += ".a";
  test::expect_usage_error([&] { apply_override(root, path + "=1"); }, {"command line", "100 levels"});
}

TEST(Override, NeedsAKeyAndAnEqualsSign) {
  Node root;
  for (const char* wrong : {"model.size", "=tiny", "", "--fast"}) {
    test::expect_usage_error([&] { apply_override(root, wrong); }, {"command line", "section.key=value"});
  }
}

TEST(Nearest, FindsTheTypingError) {
  const std::vector<std::string> keys{"model.size", "model.dim", "optim.epochs"};
  EXPECT_EQ(nearest("model.sise", keys), "model.size");
  EXPECT_EQ(nearest("optim.epoch", keys), "optim.epochs");
  EXPECT_EQ(nearest("entirely.different", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("x", {}), "");
}

}  // namespace
}  // namespace axlstm::config
