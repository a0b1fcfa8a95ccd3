#include "axlstm/core/pending_files.h"

#include <gtest/gtest.h>

#include "axlstm/core/files.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm {
namespace {

namespace fs = std::filesystem;

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::recursive_directory_iterator(folder), fs::recursive_directory_iterator()));
}

TEST(PendingFiles, HaveTheirNamesOnceCommitted) {
  const test::TemporaryFolder folder;
  folder.write("b.txt", "old");
  PendingFiles files;
  files.add(folder.path() / "a" / "a.txt", "first");
  files.add(folder.path() / "b.txt", "new");
  EXPECT_EQ(files.size(), 2U);
  EXPECT_FALSE(fs::exists(folder.path() / "a" / "a.txt"));
  EXPECT_EQ(read_file(folder.path() / "b.txt"), "old");
  EXPECT_TRUE(files.commit().empty());
  EXPECT_EQ(files.size(), 0U);
  EXPECT_EQ(read_file(folder.path() / "a" / "a.txt"), "first");
  EXPECT_EQ(read_file(folder.path() / "b.txt"), "new");
  EXPECT_EQ(files_in(folder.path()), 3U);
}

TEST(PendingFiles, WhatIsNotCommittedLeavesNothing) {
  const test::TemporaryFolder folder;
  {
    PendingFiles files;
    files.add(folder.path() / "a.txt", "first");
  }
  EXPECT_EQ(files_in(folder.path()), 0U);
}

TEST(PendingFiles, AFileThatCannotBeWrittenIsNamedAndCostsItself) {
  const test::TemporaryFolder folder;
  folder.write("file", "no folder");
  PendingFiles files;
  files.add(folder.path() / "a.txt", "first");
  test::expect_error([&] { files.add(folder.path() / "file" / "b.txt", "x"); }, {"file", "cannot be created"});
  EXPECT_TRUE(files.commit().empty());
  EXPECT_EQ(read_file(folder.path() / "a.txt"), "first");
}

TEST(PendingFiles, ANameThatIsTakenByAFolderIsNamedAndCostsItself) {
  const test::TemporaryFolder folder;
  fs::create_directories(folder.path() / "a.txt" / "full");
  PendingFiles files;
  files.add(folder.path() / "a.txt", "first");
  files.add(folder.path() / "b.txt", "second");
  const auto failures = files.commit();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].path, folder.path() / "a.txt");
  EXPECT_NE(failures[0].message.find("a.txt: cannot be replaced"), std::string::npos) << failures[0].message;
  EXPECT_EQ(read_file(folder.path() / "b.txt"), "second");
}

}  // namespace
}  // namespace axlstm
