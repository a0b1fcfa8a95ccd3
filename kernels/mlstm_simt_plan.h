// Launch plans of the cell's float32 kernels.
#pragma once

#include <algorithm>
#include <type_traits>

#include "launch.h"

namespace axlstm::kernels {

inline constexpr int kTile = 64;      // tokens of a row or column tile
inline constexpr int kSlice = 32;     // head channels of one step of a score product
inline constexpr int kThreads = 256;  // 16 × 16; thread (y, x) owns tile rows 4y … 4y+3 and columns x, x + 16, …
inline constexpr int kStep = 16;

/// Floats that score_tile and accumulate<Columns> share as scratch memory.
template <int Columns>
inline constexpr int kScratch = std::max(2 * kTile * (kSlice + 1), kStep*(kStep* Columns + 1));

/// Calls run(std::integral_constant<int, Columns>) with a thread's channels: 16 threads share those of a CTA.
template <typename Run>
auto by_forward_columns(std::int64_t DH, const Run& run) {
  if (DH <= 64) return run(std::integral_constant<int, 4>{});
  if (DH <= 128) return run(std::integral_constant<int, 8>{});
  return run(std::integral_constant<int, 12>{});
}
/// The same for the backward pass, where threads hold more than one sum.
template <typename Run>
auto by_backward_columns(std::int64_t DH, const Run& run) {
  return DH <= 64 ? run(std::integral_constant<int, 4>{}) : run(std::integral_constant<int, 8>{});
}

/// Heads of the batch × tiles of tokens.
inline Launch plan_simt_row_terms(const MlstmShape& shape) {
  return {{static_cast<unsigned>(shape.B * shape.NH), ceil_div(shape.S, kTile)}, kThreads};
}

/// × parts of the head's channels. For the forward pass and the rows of the backward pass.
template <int Columns>
Launch plan_simt_rows(const MlstmShape& shape) {
  Launch plan = plan_simt_row_terms(shape);
  plan.grid.z = ceil_div(shape.DH, kStep * Columns);
  return plan;
}

/// For the columns of the backward pass, which keep two tiles of weights besides the scratch memory.
template <int Columns>
Launch plan_simt_columns(const MlstmShape& shape) {
  Launch plan = plan_simt_rows<Columns>(shape);
  plan.shared_bytes = static_cast<int>(sizeof(float)) * (2 * kTile * (kTile + 1) + kScratch<Columns>);
  return plan;
}

}  // namespace axlstm::kernels
