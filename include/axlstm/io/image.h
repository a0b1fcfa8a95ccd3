// Spectrogram pictures as PNG files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace axlstm::io {

/// One panel: `height` rows of `width` values, top row first.
struct Panel {
  std::int64_t width = 0, height = 0;
  std::vector<float> values;
};

/// Writes the panels one above the other in viridis colours, all on one scale from `low` to `high`; each value becomes
/// a square of `zoom` pixels. Panels must have one width. Throws Error naming the path if it cannot be written.
void write_png(const std::filesystem::path& path, std::span<const Panel> panels, float low, float high, int zoom);

}  // namespace axlstm::io
