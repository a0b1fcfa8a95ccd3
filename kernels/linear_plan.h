// Launch plans of the kernels beside the products of linear layers.
#pragma once

#include <algorithm>
#include <type_traits>

#include "launch.h"
#include "linear_params.h"

namespace axlstm::kernels {

inline constexpr int kLinearThreads = 256, kLinearWarps = kLinearThreads / kWarp;
inline constexpr int kLinearColumns = kWarp * kLinearVector;  // of a CTA
inline constexpr int kLinearCtas = 528;  // four a multiprocessor of an H100; fixed, as block_plan.h's kCtas is
inline constexpr int kSumWarps = 32;     // at most: one for each part

/// Calls run(std::integral_constant<Gelu, …>).
template <typename Run>
auto by_gelu(Gelu gelu, const Run& run) {
  if (gelu == Gelu::kErf) return run(std::integral_constant<Gelu, Gelu::kErf>{});
  if (gelu == Gelu::kTanh) return run(std::integral_constant<Gelu, Gelu::kTanh>{});
  return run(std::integral_constant<Gelu, Gelu::kNone>{});
}

inline Launch plan_gelu(const GeluParams& params) {
  return {{ceil_div(params.count, kLinearThreads * kLinearVector)}, kLinearThreads};
}

/// Parts in which a bias's gradient is stored.
inline int count_bias_parts(std::int64_t tokens, std::int64_t N, int ctas = kLinearCtas) {
  const auto most = std::max(1U, static_cast<unsigned>(ctas) / ceil_div(N, kLinearColumns));
  return static_cast<int>(std::min(ceil_div(tokens, kLinearWarps), most));
}

/// A lane has some columns, a warp every eighth token of a part.
inline Launch plan_bias_gradient(const BiasGradientParams& params) {
  return {{static_cast<unsigned>(params.part_count), ceil_div(params.N, kLinearColumns)},
          kLinearThreads,
          kLinearThreads * kLinearVector * static_cast<int>(sizeof(float))};
}

/// A lane a column, its CTA's warps the parts in turn.
inline Launch plan_sum_over_parts(const SumPartsParams& params) {
  const unsigned threads = static_cast<unsigned>(std::min<std::int64_t>(params.parts, kSumWarps)) * kWarp;
  return {{ceil_div(params.N, kWarp)}, threads, static_cast<int>(threads * sizeof(float))};
}

}  // namespace axlstm::kernels
