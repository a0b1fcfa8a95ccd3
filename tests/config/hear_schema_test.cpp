#include "axlstm/config/hear_schema.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/expect_error.h"

namespace axlstm::config {
namespace {

HearConfig read_text(const std::string& text) { return read_hear(parse(text, "x.yaml")); }

TEST(HearConfigTest, TakesListsAndSingleTexts) {
  const HearConfig lists = read_text("hear: {models: [runs/tiny, ours=runs/base], tasks: [tasks], seeds: 3}\n");
  EXPECT_EQ(lists.models, (std::vector<std::string>{"runs/tiny", "ours=runs/base"}));
  EXPECT_EQ(lists.seeds, 3);
  EXPECT_EQ(lists.grid, "released");
  EXPECT_EQ(lists.device, runtime::DeviceChoice::kCpu);

  Node root = parse("hear: {models: naive, tasks: a, grid: faster, layout: released}\n", "x.yaml");
  apply_override(root, "hear.tasks=b,c d");
  const HearConfig texts = read_hear(root);
  EXPECT_EQ(texts.models, std::vector<std::string>{"naive"});
  EXPECT_EQ(texts.tasks, (std::vector<std::string>{"b", "c d"}));
  EXPECT_EQ(texts.grid, "faster");
  EXPECT_EQ(texts.layout, embed::LayoutChoice::kReleased);
}

TEST(HearConfigTest, TheCommandLineTakesListsAsYamlDoes) {
  const auto tasks = [](const std::string& value) {
    Node root = parse("hear: {models: naive, tasks: from_file}\n", "x.yaml");
    apply_override(root, "hear.tasks=" + value);
    return read_hear(root).tasks;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(tasks("a"), Texts{"a"});
  EXPECT_EQ(tasks("[a]"), Texts{"a"});
  EXPECT_EQ(tasks("[a, b/c d]"), (Texts{"a", "b/c d"}));
  EXPECT_EQ(tasks("a, b"), (Texts{"a", "b"}));
  EXPECT_EQ(tasks("[\"with, comma\", '[brackets]', ~/home]"), (Texts{"with, comma", "[brackets]", "~/home"}));
  EXPECT_EQ(read_text("hear: {models: naive, tasks: \"[a, b]\"}\n").tasks, (Texts{"a", "b"}));
  EXPECT_EQ(read_text("hear:\n  models: naive\n  tasks:\n    - a\n    - b\n").tasks, (Texts{"a", "b"}));

  const auto refused = [&](const std::string& value, std::initializer_list<std::string> parts) {
    test::expect_usage_error([&] { tasks(value); }, parts);
  };
  refused("[a", {"command line 'hear.tasks=[a'", "hear.tasks is '[a', it takes [a, b] or a,b", "']' is missing"});
  refused("[a]b]", {"hear.tasks is '[a]b]'", "quote names with brackets"});
  refused("[a]\nhear: [b]", {"hear.tasks"});
  refused("[[a]]", {"hear.tasks is a list, it takes texts"});
  refused("[a: b]", {"command line", "hear.tasks is a section, it takes texts"});
  refused("[]", {"hear.tasks is empty"});
  refused("", {"hear.tasks is empty"});
  refused("a,,b", {"hear.tasks has an empty text"});
  refused("[a, '']", {"hear.tasks has an empty text"});
  refused("[a, ~]", {"hear.tasks is nothing, it takes texts"});
}

TEST(HearConfigTest, ShippedFileIsThePapersEvaluation) {
  const auto configs = std::filesystem::path(AXLSTM_TEST_DATA).parent_path() / "configs" / "hear";
  const HearConfig paper = read_hear(load(configs / "paper.yaml"));
  EXPECT_EQ(paper.grid, "released");
  EXPECT_EQ(paper.seeds, 10);
  EXPECT_EQ(paper.first_seed, 0);
}

TEST(HearConfigTest, NamesWhatIsWrong) {
  const auto expect = [](const std::string& text, std::initializer_list<std::string> parts) {
    test::expect_usage_error([&] { read_text(text); }, parts);
  };
  expect("hear: {models: [naive]}\n", {"hear.tasks is empty"});
  expect("hear: {tasks: [t]}\n", {"hear.models is empty"});
  expect("hear: {models: {a: b}, tasks: [t]}\n", {"x.yaml:1:8", "hear.models is a section", "list of texts"});
  expect("hear: {models: [[a]], tasks: [t]}\n", {"hear.models is a list, it takes texts"});
  expect("hear: {model: [naive], tasks: [t]}\n", {"did you mean 'hear.models'"});
  expect("hear:\n  grid: coarse\n", {"x.yaml:2:3", "hear.grid is 'coarse'", "released, default, fast, faster"});
  expect("hear: {models: [a], tasks: [t], seeds: 0}\n", {"hear.seeds is 0"});
}

}  // namespace
}  // namespace axlstm::config
