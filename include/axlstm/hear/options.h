// What the evaluation kit leaves to choose; plain values.
#pragma once

#include <array>

namespace axlstm::hear {

/// The hyper-parameter grids of downstream models: the paper's two points, and HEAR's three.
inline constexpr std::array kGrids{"released", "default", "fast", "faster"};

/// Points of a shuffled grid that are tried, as HEAR does.
inline constexpr int kGridPoints = 8;

}  // namespace axlstm::hear
