// What a pre-training minimises.
#pragma once

#include <array>

#include "axlstm/core/visitor.h"

namespace axlstm::objective {

/// kMaskedTokens: the encoder sees mask tokens in place of hidden patches, a small head predicts their pixels.
/// kMaskedAutoencoder: it sees the visible patches alone, a decoder predicts those of the others.
enum class Kind { kMaskedTokens, kMaskedAutoencoder };
constexpr auto enum_names(Kind) { return std::array{"masked_tokens", "masked_autoencoder"}; }

/// Section `objective`.
void visit(Kind& kind, Visitor& v);

}  // namespace axlstm::objective
