#include "axlstm/core/enum_names.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace axlstm::test {
namespace {

enum class Colour { kRed, kGreen };
constexpr auto enum_names(Colour) { return std::array{"red", "green"}; }

static_assert(enum_of<Colour>("green") == Colour::kGreen);
static_assert(!enum_of<Colour>("Green"));

TEST(EnumNames, GoBothWays) {
  EXPECT_STREQ(enum_name(Colour::kRed), "red");
  EXPECT_EQ(names_of<Colour>(), (std::vector<std::string>{"red", "green"}));
  EXPECT_EQ(list_names<Colour>(), "red, green");
  EXPECT_EQ(list_names<Colour>("|"), "red|green");
  EXPECT_THROW(enum_name(static_cast<Colour>(2)), std::out_of_range);
}

}  // namespace
}  // namespace axlstm::test
