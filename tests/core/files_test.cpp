#include "axlstm/core/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace {
int flock_failure = 0;  ///< what flock fails with; 0: nothing
int fsync_failure = 0, fallocate_failure = 0;
}  // namespace

extern "C" int fsync(int descriptor) {
  if (fsync_failure == 0) return static_cast<int>(::syscall(SYS_fsync, descriptor));
  errno = fsync_failure;
  return -1;
}

extern "C" int fallocate(int descriptor, int mode, off_t offset, off_t bytes) {
  if (fallocate_failure == 0) return static_cast<int>(::syscall(SYS_fallocate, descriptor, mode, offset, bytes));
  errno = fallocate_failure;
  return -1;
}

/// Takes the place of libc's in this program, for no file system here lacks locks.
extern "C" int flock(int descriptor, int operation) noexcept {
  if (flock_failure == 0) return static_cast<int>(::syscall(SYS_flock, descriptor, operation));
  errno = flock_failure;
  return -1;
}

namespace axlstm {
namespace {

namespace fs = std::filesystem;

std::size_t entries_in(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(Flushing, OneWarningWhereTheFileSystemCannotAndAnErrorWhereTheDiskFails) {
  const test::TemporaryFolder folder;
  testing::internal::CaptureStderr();
  for (const int reason : {EINVAL, ENOTSUP, EOPNOTSUPP, ENOSYS, EPERM, EINVAL}) {
    fsync_failure = reason;
    write_file_atomic(folder.path() / "x", "text");
    sync_directory(folder.path());
    EXPECT_EQ(read_file(folder.path() / "x"), "text");
  }
  const std::string warnings = testing::internal::GetCapturedStderr();
  const auto files = warnings.find("cannot flush files to disk (Invalid argument)");
  const auto folders = warnings.find("cannot flush folders to disk (Invalid argument)");
  EXPECT_NE(files, std::string::npos) << warnings;
  EXPECT_NE(folders, std::string::npos) << warnings;
  EXPECT_EQ(std::count(warnings.begin(), warnings.end(), '\n'), 2) << warnings;
  for (const int reason : {EIO, ENOSPC, EDQUOT}) {
    fsync_failure = reason;
    test::expect_error([&] { sync_directory(folder.path()); }, {folder.path().string(), std::strerror(reason)});
    test::expect_error([&] { write_file_atomic(folder.path() / "x", "new"); }, {"x.tmp", std::strerror(reason)});
  }
  fsync_failure = 0;
  EXPECT_EQ(read_file(folder.path() / "x"), "text");
  test::expect_error([&] { sync_directory(folder.path() / "none"); }, {"none", "No such file"});
}

TEST(ReservingSpace, TakesItOrSaysWhyNot) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.path() / "x";
  reserve_space(file, 1'000'000);
  EXPECT_EQ(fs::file_size(file), 1'000'000U);
  for (const int reason : {ENOSPC, EDQUOT, EFBIG}) {
    fallocate_failure = reason;
    test::expect_error([&] { reserve_space(file, 1000); }, {file.string(), "1000 bytes", std::strerror(reason)});
  }
  fallocate_failure = EOPNOTSUPP;  // zeros are written
  reserve_space(folder.path() / "y", 700'001);
  EXPECT_EQ(fs::file_size(folder.path() / "y"), 700'001U);
  reserve_space(folder.path() / "none", 0);
  EXPECT_EQ(fs::file_size(folder.path() / "none"), 0U);
  fallocate_failure = 0;
  test::expect_error([&] { reserve_space(folder.path() / "no/such", 1); }, {"no/such", "No such file"});
}

TEST(ReadFile, GivesTheBytesUnchanged) {
  const test::TemporaryFolder folder;
  const std::string bytes("a\r\n\0\xff", 5);
  EXPECT_EQ(read_file(folder.write("x", bytes)), bytes);
  EXPECT_EQ(read_file(folder.write("empty", "")), "");
}

TEST(ReadFile, ErrorsNameThePathAndTheReason) {
  const test::TemporaryFolder folder;
  test::expect_error([&] { read_file(folder.path() / "missing"); },
                     {(folder.path() / "missing").string(), "No such file"});
  test::expect_error([&] { read_file(folder.path()); }, {folder.path().string(), "folder"});
  test::expect_error([&] { read_file(folder.path() / std::string(5000, 'x')); }, {folder.path().string(), "too long"});
}

TEST(WriteFileAtomic, ReplacesTheContentAndLeavesNothingElse) {
  const test::TemporaryFolder folder;
  const auto path = folder.write("x", "old");
  write_file_atomic(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(entries_in(folder.path()), 1u);
}

TEST(WriteFileAtomic, AFailureLeavesTheOldContentAndNoTemporaryFile) {
  const test::TemporaryFolder folder;
  fs::create_directories(folder.path() / "taken" / "inside");  // a folder cannot be replaced by a file
  test::expect_error([&] { write_file_atomic(folder.path() / "taken", "new"); }, {(folder.path() / "taken").string()});
  EXPECT_TRUE(fs::is_directory(folder.path() / "taken" / "inside"));
  EXPECT_EQ(entries_in(folder.path()), 1u);
}

TEST(WriteFileAtomic, AMissingFolderIsNamed) {
  const test::TemporaryFolder folder;
  test::expect_error([&] { write_file_atomic(folder.path() / "no" / "x", "new"); },
                     {(folder.path() / "no").string(), "No such file"});
}

TEST(SyncedWriter, WritesPieceByPiece) {
  const test::TemporaryFolder folder;
  SyncedWriter writer(folder.path() / "x");
  writer.append("ab");
  writer.append("");
  writer.append("cd");
  writer.finish();
  EXPECT_EQ(read_file(folder.path() / "x"), "abcd");
}

TEST(SyncedWriter, AFullDiskIsAnErrorNamingThePath) {
  SyncedWriter writer("/dev/full");
  test::expect_error([&] { writer.append("x"); }, {"/dev/full", "No space left"});
}

TEST(SyncDirectory, NamesAFolderThatIsMissing) {
  const test::TemporaryFolder folder;
  EXPECT_NO_THROW(sync_directory(folder.path()));
  test::expect_error([&] { sync_directory(folder.path() / "missing"); }, {"missing"});
}

TEST(InputFile, ReadsAnyPart) {
  const test::TemporaryFolder folder;
  const InputFile file(folder.write("x", "hello"));
  EXPECT_EQ(file.size(), 5U);
  EXPECT_EQ(file.read(1, 3), "ell");
  EXPECT_EQ(file.read(5, 0), "");
  EXPECT_EQ(InputFile(folder.write("empty", "")).size(), 0U);
}

TEST(InputFile, ErrorsNameThePath) {
  const test::TemporaryFolder folder;
  test::expect_error([&] { InputFile file(folder.path() / "missing"); }, {"missing", "No such file"});
  test::expect_error([&] { InputFile file(folder.path()); }, {folder.path().string(), "is not a file"});
  const InputFile file(folder.write("x", "hello"));
  test::expect_error([&] { file.read(3, 3); }, {file.path().string(), "has 5 bytes", "3 from byte 3"});
  test::expect_error([&] { file.read(0, std::size_t{1} << 62); }, {file.path().string(), "has 5 bytes"});
}

TEST(InputFile, AFileCutShortSinceItWasOpenedIsAnError) {
  const test::TemporaryFolder folder;
  const InputFile file(folder.write("x", "hello"));
  fs::resize_file(file.path(), 2);
  test::expect_error([&] { file.read(0, 5); }, {file.path().string(), "ends at byte 2", "3 more"});
}

TEST(Fnv1a64, EqualsThePublishedTestVectors) {
  EXPECT_EQ(fnv1a64_hex(""), "cbf29ce484222325");
  EXPECT_EQ(fnv1a64_hex("a"), "af63dc4c8601ec8c");
  EXPECT_EQ(fnv1a64_hex("foobar"), "85944171f73967e8");
}

TEST(Fnv1a64, OfAFileIsThatOfItsBytes) {
  const test::TemporaryFolder folder;
  std::string bytes(600'000, 'x');  // more than is read at once
  bytes += "end";
  const InputFile file(folder.write("x", bytes));
  EXPECT_EQ(fnv1a64_hex(file), fnv1a64_hex(bytes));
  EXPECT_EQ(fnv1a64(file, 599'999, 3), fnv1a64("xen"));
}

TEST(FileLock, ASecondHolderIsRefusedUntilTheFirstIsGone) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / ".lock";
  auto first = std::make_unique<FileLock>(path);
  test::expect_error_of<LockedError>([&] { FileLock second(path); }, {folder.path().string(), "another process"});
  first.reset();
  EXPECT_NO_THROW(FileLock second(path));
}

TEST(FileLock, OtherFailuresAreNotTakenForAnotherProcess) {
  const test::TemporaryFolder folder;
  flock_failure = ENOLCK;
  test::expect_error([&] { FileLock lock(folder.path() / ".lock"); },
                     {(folder.path() / ".lock").string(), "No locks available"});
  flock_failure = 0;
}

TEST(FileLock, AFolderThatIsMissingIsNamed) {
  const test::TemporaryFolder folder;
  test::expect_error([&] { FileLock lock(folder.path() / "no" / ".lock"); }, {(folder.path() / "no").string()});
}

TEST(ExpandHome, ReplacesALeadingTilde) {
  const char* home = std::getenv("HOME");
  const std::string before = home ? home : "";
  ASSERT_EQ(::setenv("HOME", "/home/someone", 1), 0);
  EXPECT_EQ(expand_home("~/audio"), "/home/someone/audio");
  EXPECT_EQ(expand_home("a/~/b"), "a/~/b");
  EXPECT_EQ(expand_home("~other/x"), "~other/x");
  ::setenv("HOME", before.c_str(), 1);
}

}  // namespace
}  // namespace axlstm
