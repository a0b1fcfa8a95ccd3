#include "axlstm/io/image.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "support/expect_error.h"
#include "support/png.h"
#include "support/tmpdir.h"

namespace axlstm::io {
namespace {

using test::kBright;
using test::kDark;
using test::kGrey;
using test::kWhite;
using test::Picture;
using test::read_png;
using test::Rgb;

TEST(WritePng, SizeAndColoursAreThoseOfThePanel) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "x.png";
  const Panel panel{3, 2, {0, 1, 0.5F, 1, 0, 0}};
  write_png(path, std::array{panel}, 0, 1, 4);
  const Picture picture = read_png(path);
  EXPECT_EQ(picture.width, 12);
  EXPECT_EQ(picture.height, 8);
  EXPECT_EQ(picture.at(0, 0), kDark);
  EXPECT_EQ(picture.at(3, 3), kDark);  // the last pixel of the first value's square
  EXPECT_EQ(picture.at(4, 0), kBright);
  EXPECT_EQ(picture.at(0, 4), kBright);  // second row
  const Rgb middle = picture.at(8, 0);
  EXPECT_GT(middle[1], middle[0]);  // viridis is green in the middle
  EXPECT_GT(middle[1], middle[2] - 20);
}

TEST(WritePng, ValuesBeyondTheScaleTakeItsEnds) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "x.png";
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  write_png(path, std::array{Panel{5, 1, {-9, 9, -kInfinity, kInfinity, kNan}}}, -1, 1, 1);
  const Picture picture = read_png(path);
  EXPECT_EQ(picture.at(0, 0), kDark);
  EXPECT_EQ(picture.at(1, 0), kBright);
  EXPECT_EQ(picture.at(2, 0), kDark);
  EXPECT_EQ(picture.at(3, 0), kBright);
  EXPECT_EQ(picture.at(4, 0), kGrey);  // not a number
}

TEST(WritePng, PanelsStandOneAboveTheOtherWithAWhiteGap) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "x.png";
  write_png(path, std::array{Panel{1, 2, {0, 0}}, Panel{1, 1, {1}}}, 0, 1, 1);
  const Picture picture = read_png(path);
  ASSERT_GT(picture.height, 4);
  EXPECT_EQ(picture.at(0, 1), kDark);
  EXPECT_EQ(picture.at(0, 2), kWhite);
  EXPECT_EQ(picture.at(0, picture.height - 2), kWhite);
  EXPECT_EQ(picture.at(0, picture.height - 1), kBright);
}

TEST(WritePng, AnUnwritablePathIsNamed) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "missing" / "x.png";
  test::expect_error(
      [&] {
        write_png(path, std::array{Panel{1, 1, {0}}}, 0, 1, 1);
      },
      {path.string(), "cannot be created"});
}

TEST(WritePng, PanelsThatDoNotFitAreRejected) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "x.png";
  EXPECT_THROW(write_png(path, {}, 0, 1, 1), Error);
  EXPECT_THROW(write_png(path, std::array{Panel{1, 1, {0}}}, 1, 1, 1), Error);
  EXPECT_THROW(write_png(path, std::array{Panel{2, 1, {0}}}, 0, 1, 1), Error);
  EXPECT_THROW(write_png(path, std::array{Panel{1, 1, {0}}, Panel{2, 1, {0, 1}}}, 0, 1, 1), Error);
}

}  // namespace
}  // namespace axlstm::io
