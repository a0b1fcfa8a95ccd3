// How embeddings of a stream are written.
#pragma once

#include <array>
#include <string>

#include "axlstm/embed/stream.h"

namespace axlstm::embed {

enum class StreamFormat { kJsonl, kF32 };
constexpr auto enum_names(StreamFormat) { return std::array{"jsonl", "f32"}; }

/// kJsonl: `{"start_ms":0,"end_ms":2000,"embedding":[…]}` and a line feed, with the digits that give the same float32
/// back; kF32: W little-endian float32 values.
std::string formatted(const StreamEmbedding& embedding, StreamFormat format);

}  // namespace axlstm::embed
