#include "axlstm/io/image.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::io {
namespace {

using Rgb = std::array<std::uint8_t, 3>;

constexpr int kGapPixels = 6;
constexpr Rgb kMissing{0xd0, 0xd0, 0xd0};
// Ten equidistant colours of matplotlib's viridis (CC0), interpolated between.
constexpr std::array<Rgb, 10> kViridis{{{0x44, 0x01, 0x54},
                                        {0x48, 0x28, 0x78},
                                        {0x3e, 0x4a, 0x89},
                                        {0x31, 0x68, 0x8e},
                                        {0x26, 0x82, 0x8e},
                                        {0x1f, 0x9e, 0x89},
                                        {0x35, 0xb7, 0x79},
                                        {0x6d, 0xcd, 0x59},
                                        {0xb4, 0xde, 0x2c},
                                        {0xfd, 0xe7, 0x25}}};

Rgb viridis(float level) {  // 0 … 1
  if (std::isnan(level)) return kMissing;
  const float position = std::clamp(level, 0.0F, 1.0F) * (kViridis.size() - 1);
  const auto lower = std::min(static_cast<std::size_t>(position), kViridis.size() - 2);
  const float share = position - static_cast<float>(lower);
  Rgb color{};
  for (std::size_t c = 0; c < color.size(); ++c) {
    color[c] =
        static_cast<std::uint8_t>(std::lround((1 - share) * kViridis[lower][c] + share * kViridis[lower + 1][c]));
  }
  return color;
}

}  // namespace

void write_png(const std::filesystem::path& path, std::span<const Panel> panels, float low, float high, int zoom) {
  AXLSTM_CHECK(!panels.empty() && zoom > 0 && high > low, path.string(), ": nothing to draw");
  const std::int64_t width = panels.front().width * zoom;
  std::int64_t height = kGapPixels * static_cast<std::int64_t>(panels.size() - 1);
  for (const Panel& panel : panels) {
    AXLSTM_CHECK(
        panel.width * zoom == width && static_cast<std::int64_t>(panel.values.size()) == panel.width * panel.height,
        path.string(), ": panels of different widths");
    height += panel.height * zoom;
  }
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width * height * 3), 255);  // the gaps stay white
  std::int64_t top = 0;
  for (const Panel& panel : panels) {
    for (std::int64_t y = 0; y < panel.height * zoom; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        const float value = panel.values[static_cast<std::size_t>((y / zoom) * panel.width + x / zoom)];
        const Rgb color = viridis((value - low) / (high - low));
        std::copy(color.begin(), color.end(), pixels.begin() + ((top + y) * width + x) * 3);
      }
    }
    top += panel.height * zoom + kGapPixels;
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(bytes, '\0');
  AXLSTM_CHECK(png_image_write_to_memory(&image, file.data(), &bytes, 0, pixels.data(), 0, nullptr), path.string(),
               ": cannot be made (", image.message, ")");
  write_file_atomic(path, std::string_view(file).substr(0, bytes));
}

}  // namespace axlstm::io
