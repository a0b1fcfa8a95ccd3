// How embeddings are laid out; plain values.
#pragma once

#include <array>

#include "axlstm/core/visitor.h"

namespace axlstm::hear {

/// kTimeFrequency: each time step concatenates its frequency tokens. kReleased: the paper's code, which reads the
/// time-major tokens as if they were frequency-major; published numbers were made with it.
enum class EmbeddingLayout { kTimeFrequency, kReleased };
constexpr auto enum_names(EmbeddingLayout) { return std::array{"time_frequency", "released"}; }

/// Section `embedding`.
void visit(EmbeddingLayout& layout, Visitor& v);

/// Which layout extraction takes: the one that the checkpoint names, or a given one.
enum class LayoutChoice { kModel, kTimeFrequency, kReleased };
constexpr auto enum_names(LayoutChoice) {
  constexpr auto kLayouts = enum_names(EmbeddingLayout{});
  return std::array{"model", kLayouts[0], kLayouts[1]};
}

/// The hyper-parameter grids of downstream models: the paper's two points, and HEAR's three.
inline constexpr std::array kGrids{"released", "default", "fast", "faster"};

/// Points of a shuffled grid that are tried, as HEAR does.
inline constexpr int kGridPoints = 8;

/// Audio that goes through an encoder at once, unless it is said.
inline constexpr double kBatchSeconds = 128;

}  // namespace axlstm::hear
