// Pictures as a viewer sees them.
#pragma once

#include <gtest/gtest.h>
#include <png.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace axlstm::test {

using Rgb = std::array<int, 3>;

/// The ends of the colour scale, the gap between panels, and what stands for "not a number".
inline constexpr Rgb kDark{0x44, 0x01, 0x54}, kBright{0xfd, 0xe7, 0x25}, kWhite{255, 255, 255}, kGrey{0xd0, 0xd0, 0xd0};

struct Picture {
  int width = 0, height = 0;
  std::vector<std::uint8_t> bytes;

  Rgb at(int x, int y) const {
    const std::uint8_t* pixel = &bytes.at(static_cast<std::size_t>(3 * (y * width + x)));
    return {pixel[0], pixel[1], pixel[2]};
  }
};

inline Picture read_png(const std::filesystem::path& path) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_TRUE(png_image_begin_read_from_file(&image, path.c_str())) << image.message;
  image.format = PNG_FORMAT_RGB;
  Picture picture{static_cast<int>(image.width), static_cast<int>(image.height),
                  std::vector<std::uint8_t>(PNG_IMAGE_SIZE(image))};
  EXPECT_TRUE(png_image_finish_read(&image, nullptr, picture.bytes.data(), 0, nullptr)) << image.message;
  return picture;
}

}  // namespace axlstm::test
