// How embeddings are laid out; plain values.
#pragma once

namespace axlstm::embed {

/// kTimeFrequency: each time step concatenates its frequency tokens. kReleased: the paper's code, which reads the
/// time-major tokens as if they were frequency-major; published numbers were made with it.
enum class EmbeddingLayout { kTimeFrequency, kReleased };

/// Which layout extraction takes: the one that the checkpoint names, or a given one.
enum class LayoutChoice { kModel, kTimeFrequency, kReleased };

}  // namespace axlstm::embed
