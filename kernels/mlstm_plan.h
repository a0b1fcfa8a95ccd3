// Launch plans of the scans over the gates and of the cell's tensor-core kernels.
#pragma once

#include <algorithm>
#include <type_traits>

#include "launch.h"
#include "mlstm_chunk_terms.h"

namespace axlstm::kernels {

// The scans: a CTA a head.

inline constexpr int kMostScanWarps = 32;

/// A thread a token, as far as that goes.
inline Launch plan_scan(const MlstmShape& shape) {
  const unsigned warps = std::min(ceil_div(shape.S, kWarp), static_cast<unsigned>(kMostScanWarps));
  return {{static_cast<unsigned>(shape.B * shape.NH)}, warps * kWarp};
}

// The tensor-core kernels: a CTA a chunk of a head.

/// Chunks of all heads.
inline unsigned count_chunks(const MlstmShape& shape) {
  return static_cast<unsigned>(shape.B * shape.NH * ceil_div(shape.S, shape.chunk));
}

/// Tokens of a chunk, for a CTA that may have this much shared memory; see chunk_tokens().
inline std::int64_t chunk_tokens_within(std::int64_t tokens, DataType type, int shared_bytes) {
  if (type == DataType::kFloat32) return 0;
  return even_chunk(tokens, shared_bytes >= chunk_bytes<8>(true) ? ChunkTerms<8>::kTokens : ChunkTerms<4>::kTokens);
}

/// Calls run(std::integral_constant<int, kWarps>) with the warps that have chunks of this size.
template <typename Run>
auto by_warps(const MlstmShape& shape, const Run& run) {
  return shape.chunk > ChunkTerms<4>::kTokens ? run(std::integral_constant<int, 8>{})
                                              : run(std::integral_constant<int, 4>{});
}

template <int kWarps>
Launch plan_chunks(const MlstmShape& shape, bool backward) {
  return {{count_chunks(shape)}, kWarps * kWarp, chunk_bytes<kWarps>(backward)};
}

/// The Hopper kernels' CTAs go from chunk to chunk: one for each multiprocessor, so many for each head, so that where
/// heads have one chunk each a CTA always has the same head of a batch entry.
inline unsigned hopper_ctas_of_head(const MlstmShape& shape, int multiprocessors) {
  const auto heads = static_cast<unsigned>(shape.NH);
  return std::max(1U, std::min(count_chunks(shape), static_cast<unsigned>(multiprocessors)) / heads);
}
inline Launch plan_hopper(const MlstmShape& shape, int multiprocessors) {
  return {{hopper_ctas_of_head(shape, multiprocessors) * static_cast<unsigned>(shape.NH)},
          HopperLayout::kThreads,
          HopperLayout::kBytes};
}

}  // namespace axlstm::kernels
