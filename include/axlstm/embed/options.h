// How embeddings are laid out; plain values.
#pragma once

#include <array>

#include "axlstm/core/visitor.h"

namespace axlstm::embed {

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

/// Audio that goes through an encoder at once, unless it is said.
inline constexpr double kBatchSeconds = 512;

}  // namespace axlstm::embed
