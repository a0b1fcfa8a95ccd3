#include "axlstm/core/duration.h"

#include <gtest/gtest.h>

namespace axlstm {
namespace {

TEST(FormatDuration, TakesTheTwoLargestUnits) {
  EXPECT_EQ(format_duration(0), "0 s");
  EXPECT_EQ(format_duration(45.4), "45 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(750), "12 min 30 s");
  EXPECT_EQ(format_duration(2 * 3600 + 5 * 60), "2 h 05 min");
  EXPECT_EQ(format_duration(3 * 86400 + 4 * 3600 + 59), "3 d 4 h");
}

}  // namespace
}  // namespace axlstm
