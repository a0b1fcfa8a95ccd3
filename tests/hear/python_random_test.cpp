#include "axlstm/hear/python_random.h"

#include <gtest/gtest.h>

#include <numeric>

#include "axlstm/core/error.h"

namespace axlstm::hear {
namespace {

std::vector<int> shuffled(int n, std::uint64_t seed) {
  std::vector<int> items(static_cast<std::size_t>(n));
  std::iota(items.begin(), items.end(), 0);
  PythonRandom(seed).shuffle(items);
  return items;
}

// python3 -c 'import random; r = random.Random(0); print([r.getrandbits(32) for _ in range(5)])'
// the same with seed 2**40 + 7, a key of two words; and the 2000th number after seed 0
TEST(PythonRandomTest, DrawsTheBitsOfCPython) {
  PythonRandom zero(0);
  for (const std::uint32_t expected : {3626764237U, 1654615998U, 3255389356U, 3823568514U, 1806341205U}) {
    EXPECT_EQ(zero.next_u32(), expected);
  }
  for (int i = 5; i < 1999; ++i) zero.next_u32();
  EXPECT_EQ(zero.next_u32(), 3908016617U);
  PythonRandom large((std::uint64_t{1} << 40) + 7);
  for (const std::uint32_t expected : {2635837658U, 3209733218U, 3500038837U}) EXPECT_EQ(large.next_u32(), expected);
}

// python3 -c 'import random; r = random.Random(42)
// print([r.randrange(m) for m in (1, 2, 3, 64, 65, 1000, 2**31 + 1)])'
TEST(PythonRandomTest, DrawsBelowABoundAsCPython) {
  PythonRandom random(42);
  std::vector<std::uint32_t> drawn;
  for (const std::uint32_t bound : {1U, 2U, 3U, 64U, 65U, 1000U, 2147483649U}) drawn.push_back(random.below(bound));
  EXPECT_EQ(drawn, (std::vector<std::uint32_t>{0U, 0U, 2U, 35U, 31U, 228U, 599310825U}));
  EXPECT_THROW(random.below(0), Error);
}

// python3 -c 'import random; x = list(range(12)); random.Random(0).shuffle(x); print(x)' and the same with seed 3
TEST(PythonRandomTest, ShufflesAsCPython) {
  EXPECT_EQ(shuffled(12, 0), (std::vector<int>{1, 9, 8, 5, 10, 2, 3, 7, 4, 0, 11, 6}));
  EXPECT_EQ(shuffled(12, 3), (std::vector<int>{1, 7, 10, 0, 6, 11, 4, 5, 2, 8, 9, 3}));
}

TEST(PythonRandomTest, ShufflesNothingAndOneItem) {
  EXPECT_TRUE(shuffled(0, 0).empty());
  EXPECT_EQ(shuffled(1, 0), std::vector<int>{0});
}

}  // namespace
}  // namespace axlstm::hear
