// What a thread block of the tensor-core kernels has in shared memory for its chunk of tokens.
#pragma once

#include <cstdint>

#include "launch.h"

namespace axlstm::kernels {

inline constexpr int kSliceWidth = 48;  // channels of a slice: a divisor of all the paper's head dims
inline constexpr int kSlicePitch = 56;  // an odd number of 16 bytes, so that matrix loads meet no bank twice
inline constexpr int kMmaRing = 5;      // slices in shared memory

inline constexpr int kMaxChunkRuns = 7;

/// Where slices of a tensor come from: a head's first token of the chunk, and elements between tokens.
struct ChunkSource {
  const void* first;  // or null
  std::int64_t stride;
};

/// What a chunk's tokens bring along. exp(g_j − G_i) for j in an earlier group than i splits into three factors of at
/// most 1: j's, the pair of groups' and i's; each is an exponential of a difference to the last G of a group.
template <int kWarps>
struct ChunkTerms {
  static constexpr int kGroups = 2 * kWarps, kTokens = 16 * kGroups;
  float j_factor[kTokens];
  float i_factor[kTokens];  // times inverse
  float inverse[kTokens];   // 1 / N_i; 1 in the forward pass, where N is not known yet; 0 behind the last token
  float g_high[kTokens], g_low[kTokens], G_high[kTokens], G_low[kTokens];
  float between[kGroups * kGroups];  // [earlier][later]; 0 for others
};

/// And what the portable kernels keep beside them.
template <int kWarps>
struct MmaTerms : ChunkTerms<kWarps> {
  float signed_delta[ChunkTerms<kWarps>::kTokens];
  ChunkSource sources[2 * kMaxChunkRuns];
};

inline constexpr int kTileWidth = 64;  // elements of a row of a Hopper tile
inline constexpr int kTileRowBytes = 2 * kTileWidth;
inline constexpr int kWarpgroup = 4 * kWarp;

/// And what the Hopper kernels keep of a token's row.
struct HopperTerms : ChunkTerms<8> {
  float before[kTokens];  // what the tokens before the chunk add to n, or to δ
  float bound[kTokens];   // exp(−m), in the forward pass
  float sign[kTokens];    // of the normaliser, in the backward pass
};

/// Threads and shared memory of a thread block of the Hopper kernels: the ring's slices, the triangle's weights, the
/// terms and the ring's barriers, two a slice.
struct HopperLayout {
  static constexpr int kTokens = HopperTerms::kTokens;
  static constexpr int kTileHeight = 64, kTilesAcross = kTokens / kTileHeight;  // of the triangle of a chunk
  static constexpr int kTiles = kTilesAcross * (kTilesAcross + 1) / 2, kSlots = kTiles / 2;
  static constexpr int kConsumers = 2 * kWarpgroup, kThreads = kConsumers + kWarpgroup;
  static constexpr int kRing = 4;
  static constexpr int kSliceBytes = kTokens * kTileRowBytes;
  static constexpr int kBytes = kRing * kSliceBytes + kTiles * kTileHeight * kTileRowBytes +
                                static_cast<int>(sizeof(HopperTerms)) + 2 * kRing * 8;
};

/// Bytes of shared memory of a thread block; in the backward pass with the weights that it holds, four registers of a
/// thread a slot.
template <int kWarps>
constexpr int chunk_bytes(bool backward) {
  using Terms = MmaTerms<kWarps>;
  const int held = (Terms::kGroups + 1) * 4 * Terms::kTokens * 4;
  return kMmaRing * Terms::kTokens * kSlicePitch * 2 + static_cast<int>(sizeof(Terms)) + (backward ? held : 0);
}

/// Tokens of a chunk, all but the last of one size, of at most `most` tokens: a multiple of 16, or all of them.
constexpr std::int64_t even_chunk(std::int64_t tokens, std::int64_t most) {
  if (tokens <= most) return tokens;
  const std::int64_t chunks = (tokens + most - 1) / most;
  return ((tokens + chunks - 1) / chunks + 15) / 16 * 16;
}

}  // namespace axlstm::kernels
