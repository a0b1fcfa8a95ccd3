#include "axlstm/core/spool.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm {
namespace {

TEST(Spool, GivesBackWhatWasAppendedInWholeUnits) {
  const test::TemporaryFolder folder;
  Spool spool(folder.path());
  std::string all;
  for (int n = 0; n < 300'000; ++n) {
    const std::string line = std::to_string(100'000 + n % 900'000) + "\n";
    all += line;
    spool.append(line);
  }
  EXPECT_EQ(spool.size(), all.size());
  for (int repeat = 0; repeat < 2; ++repeat) {
    std::string read;
    int pieces = 0;
    spool.for_each_piece(
        [&](std::string_view piece) {
          EXPECT_EQ(piece.size() % 7, 0U);
          read += piece;
          ++pieces;
        },
        7);
    EXPECT_TRUE(read == all);
    EXPECT_GT(pieces, 1);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));  // the file has no name
}

TEST(Spool, ItsFolderIsNamedIfItCannotBeUsed) {
  test::expect_error_of<SpoolError>([] { Spool spool("/no/such/folder"); }, {"/no/such/folder", "created"});
}

}  // namespace
}  // namespace axlstm
