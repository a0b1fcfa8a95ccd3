#include "axlstm/data/lists/class_list.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::data {
namespace {

using Indices = std::vector<std::int64_t>;
using Names = std::vector<std::string>;

ClassList animals() { return ClassList({"cat", "dog", "dog, small", "small"}, "animals.txt"); }

TEST(ClassList, FindsTheOnlyLabel) {
  EXPECT_EQ(animals().only("dog", "a.wav"), 1);
  EXPECT_EQ(animals().only(" dog, small ", "a.wav"), 2);
}

TEST(ClassList, FindsAllLabelsTheLongestFirst) {
  EXPECT_EQ(animals().all("cat, dog", "a.wav"), (Indices{0, 1}));
  EXPECT_EQ(animals().all("dog, small,cat", "a.wav"), (Indices{0, 2}));
  EXPECT_EQ(animals().all("small,dog", "a.wav"), (Indices{1, 3}));
  EXPECT_EQ(animals().all("cat,cat", "a.wav"), Indices{0});
}

TEST(ClassList, NamesWhatDoesNotFit) {
  test::expect_error([] { animals().only("cow", "a.wav"); }, {"a.wav", "'cow'", "4 classes", "animals.txt"});
  test::expect_error([] { animals().only("", "a.wav"); }, {"a.wav", "no label"});
  test::expect_error([] { animals().only("cat,dog", "a.wav"); },
                     {"a.wav", "several labels", "classification.targets=multilabel"});
  test::expect_error([] { animals().all("cat,cow", "a.wav"); }, {"a.wav", "'cow'", "animals.txt"});
  test::expect_error([] { animals().all(" ", "a.wav"); }, {"a.wav", "no label"});
  test::expect_error([] { animals().all("cat,,dog", "a.wav"); }, {"a.wav", "''"});
  test::expect_error([] { ClassList({"cat", "cat"}, "x"); }, {"x", "'cat'", "twice"});
  test::expect_error([] { ClassList({"cat"}, "x"); }, {"x", "two are needed"});
}

TEST(ClassList, ReadsAudioSetsFile) {
  const test::TemporaryFolder folder;
  const auto file = folder.write("class_labels_indices.csv",
                                 "index,mid,display_name\n0,/m/09x0r,\"Speech\"\n1,/m/05zppz,\"Male speech, man "
                                 "speaking\"\n");
  const auto classes = load_class_list(file);
  EXPECT_EQ(classes.names(), (Names{"Speech", "Male speech, man speaking"}));
  EXPECT_EQ(classes.all("/m/05zppz,/m/09x0r", "a"), (Indices{0, 1}));
  EXPECT_EQ(classes.all("Male speech, man speaking", "a"), Indices{1});
}

TEST(ClassList, ReadsHearsVocabularyAndPlainLines) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(load_class_list(folder.write("v.csv", "idx,label\n1,b\n0,a\n")).names(), (Names{"a", "b"}));
  EXPECT_EQ(load_class_list(folder.write("l.txt", "b\r\na, c\n\n")).names(), (Names{"b", "a, c"}));
  test::expect_error([&] { load_class_list(folder.write("x.csv", "idx,label\n1,b\n1,a\n")); },
                     {"x.csv:3", "index 1", "twice"});
  test::expect_error([&] { load_class_list(folder.write("y.csv", "idx,label\n5,b\n1,a\n")); }, {"y.csv:2", "'5'"});
  test::expect_error([&] { load_class_list(folder.write("e.txt", "")); }, {"e.txt", "empty"});
}

TEST(ClassesOf, AreSortedAndEachOnce) {
  EXPECT_EQ(classes_of({"b,a", "c", "", " a"}, /*exclusive=*/false), (Names{"a", "b", "c"}));
  EXPECT_EQ(classes_of({"b,a", "c", "c"}, /*exclusive=*/true), (Names{"b,a", "c"}));
}

}  // namespace
}  // namespace axlstm::data
