// How the tensor-core kernels cut a head's channels.
#pragma once

#include <cstdint>

namespace axlstm::kernels {

inline constexpr int kMaxMmaWidth = 192;    // channels of a block's part
inline constexpr int kMaxHeldTokens = 256;  // their weights are 32 KB of shared memory

/// How a head is cut into parts of `width` channels, and whether one block does all of them (held) or each has its own.
struct HeadCut {
  int width;
  bool held;
  int blocks;  ///< that share a head's channels
};

constexpr HeadCut cut_head(std::int64_t head_dim, std::int64_t tokens) {
  for (const int width : {64, 96, 144, kMaxMmaWidth}) {
    if (head_dim <= width) return {width, false, 1};
  }
  if (tokens <= kMaxHeldTokens) return {head_dim % 144 == 0 ? 144 : 96, true, 1};
  const int blocks = static_cast<int>((head_dim + kMaxMmaWidth - 1) / kMaxMmaWidth);  // each computes all scores: few
  for (const int width : {144, kMaxMmaWidth}) {
    if (blocks * width >= head_dim) return {width, false, blocks};
  }
  return {kMaxMmaWidth, false, blocks};
}

/// Channels of a slice in the kernel for the row terms, which holds four tiles in shared memory instead of three.
constexpr int row_width(std::int64_t head_dim) {
  if (head_dim <= 64) return 64;
  return head_dim % 144 == 0 ? 144 : 96;
}

}  // namespace axlstm::kernels
