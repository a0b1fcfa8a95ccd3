// How embeddings are made and laid out; plain values.
#pragma once

#include <array>

#include "axlstm/core/visitor.h"

namespace axlstm::embed {

/// What is wanted of a clip: one vector, the mean over its time steps; or all of them.
enum class EmbeddingKind { kScene, kTimestamp };
constexpr auto enum_names(EmbeddingKind) { return std::array{"scene", "timestamp"}; }

/// kTimeFrequency: each time step concatenates its frequency tokens. kReleased: the paper's code, which reads the
/// time-major tokens as if they were frequency-major; published numbers were made with it.
enum class EmbeddingLayout { kTimeFrequency, kReleased };
constexpr auto enum_names(EmbeddingLayout) { return std::array{"time_frequency", "released"}; }

/// What stands behind the frames of a clip in its last chunk: zeros, as in the paper's code; or the clip's frames in
/// mirrored order, the last one not repeated, as in that of MW-MAE.
enum class Padding { kZero, kReflect };
constexpr auto enum_names(Padding) { return std::array{"zero", "reflect"}; }

struct EmbeddingOptions {
  EmbeddingLayout layout = EmbeddingLayout::kTimeFrequency;
  Padding padding = Padding::kZero;
};

/// Section `embedding`.
void visit(EmbeddingOptions& embedding, Visitor& v);

/// Which layout extraction takes: the one that the checkpoint names, or a given one.
enum class LayoutChoice { kModel, kTimeFrequency, kReleased };
constexpr auto enum_names(LayoutChoice) {
  constexpr auto kLayouts = enum_names(EmbeddingLayout{});
  return std::array{"model", kLayouts[0], kLayouts[1]};
}

/// Audio that goes through an encoder at once, unless it is said.
inline constexpr double kBatchSeconds = 512;

}  // namespace axlstm::embed
