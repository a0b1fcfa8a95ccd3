// How many channels of a head one block of the tensor-core kernels takes.
#pragma once

#include <cstdint>

namespace axlstm::kernels {

inline constexpr int kMaxMmaWidth = 192;

/// Blocks that share a head's channels: as few as possible, since each of them computes all scores.
constexpr int mma_parts(std::int64_t head_dim) {
  return static_cast<int>((head_dim + kMaxMmaWidth - 1) / kMaxMmaWidth);
}

/// Channels of each: the narrowest of the compiled widths that covers the head.
constexpr int mma_width(std::int64_t head_dim) {
  for (const int width : {64, 96, 144}) {
    if (mma_parts(head_dim) * width >= head_dim) return width;
  }
  return kMaxMmaWidth;
}

/// Channels of a slice in the kernel for the row terms, which holds four tiles in shared memory instead of three.
constexpr int row_width(std::int64_t head_dim) { return mma_width(head_dim) < kMaxMmaWidth ? mma_width(head_dim) : 96; }

}  // namespace axlstm::kernels
