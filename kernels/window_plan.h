// Launch plans of attention within windows, and the sizes on which kernels and plans agree.
#pragma once

#include <algorithm>
#include <type_traits>

#include "launch.h"
#include "window_params.h"

namespace axlstm::kernels {

inline constexpr int kWindowWarps = 8, kWindowThreads = kWindowWarps * kWarp;
/// Shared memory that a CTA may have on every GPU since sm_80.
inline constexpr std::int64_t kMostWindowBytes = std::int64_t{99} << 10;
/// A tile of scores, skewed so that its diagonals are columns.
inline constexpr int kSkewed = 16 * 32;

/// Shared memory has rows for S + 15 tokens and up to whole tiles: a window's tiles of 16 tokens begin where it begins
/// and may end behind the last token.
inline constexpr int kRowsBehind = 30;
constexpr std::int64_t window_rows(std::int64_t S) { return (S + kRowsBehind) / 16 * 16; }
/// Elements from a row of shared memory to the next: rows are 16 bytes further than banks would have them.
constexpr std::int64_t window_pitch(std::int64_t DH) { return DH + 8; }

/// The longest table of a head.
inline std::int64_t longest_table(const WindowParams& params) {
  std::int64_t longest = 0;
  for (std::int64_t head = 0; head < params.NH; ++head) {
    const auto& of = params.heads[head];
    if (of.has_table) longest = std::max<std::int64_t>(longest, 2 * of.window - 1);
  }
  return longest;
}

/// Two tensors of tokens, and a table.
inline std::int64_t window_forward_bytes(const WindowParams& params) {
  return 4 * window_rows(params.S) * window_pitch(params.DH) + 4 * longest_table(params);
}
/// More: two numbers a row, and each warp's sums of the table's gradient and its tile.
inline std::int64_t window_backward_bytes(const WindowParams& params) {
  return window_forward_bytes(params) + 8 * window_rows(params.S) +
         4 * kWindowWarps * (longest_table(params) + (longest_table(params) > 0 ? kSkewed : 0));
}

/// What the kernels take: some head dims, and sequences that fit into shared memory.
inline bool takes_windows(const WindowParams& params) {
  return params.DH % 16 == 0 && params.DH <= 64 && params.NH <= kMaxWindowHeads &&
         window_backward_bytes(params) <= kMostWindowBytes;
}

/// A CTA a head of a clip; the heads of a clip, whose rows lie side by side, run together.
inline Launch plan_window_forward(const WindowParams& params) {
  return {
      {static_cast<unsigned>(params.B * params.NH)}, kWindowThreads, static_cast<int>(window_forward_bytes(params))};
}
inline Launch plan_window_backward(const WindowBackwardParams& params) {
  return {{static_cast<unsigned>(params.forward.B * params.forward.NH)},
          kWindowThreads,
          static_cast<int>(window_backward_bytes(params.forward))};
}

/// Calls run(std::integral_constant<int, sixteens of channels of a head>).
template <typename Run>
auto by_sixteens(std::int64_t DH, const Run& run) {
  if (DH == 16) return run(std::integral_constant<int, 1>{});
  if (DH == 32) return run(std::integral_constant<int, 2>{});
  if (DH == 48) return run(std::integral_constant<int, 3>{});
  return run(std::integral_constant<int, 4>{});
}

}  // namespace axlstm::kernels
