#include "axlstm/core/xxh3.h"

#include <gtest/gtest.h>

#include "support/tmpdir.h"

namespace axlstm {
namespace {

// printf … | xxhsum -H3, of xxhash 0.8.1
TEST(Xxh3, GivesTheDigitsOfXxhsum) {
  EXPECT_EQ(xxh3_hex(""), "2d06800538d394c2");
  EXPECT_EQ(xxh3_hex("abc"), "78af5f94892f3950");
}

TEST(Xxh3, AFileInBlocksHasThatOfItsBytes) {
  const test::TemporaryFolder folder;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1000}, std::size_t{3} << 20, (std::size_t{2} << 20) + 7}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * i % 251);
    EXPECT_EQ(xxh3(InputFile(folder.write("x", bytes))), xxh3(bytes)) << size;
  }
}

}  // namespace
}  // namespace axlstm
