// The kernels of mlstm_links.h: four tokens a warp, two neighbouring channels a lane; for sums over tokens and for what
// is handed on from link to link two numbers a thread.
#pragma once

#include "mlstm_gates.cuh"
#include "mlstm_links_plan.h"
#include "warp.cuh"

namespace axlstm::kernels {

/// exp(x − y) of g and G at two tokens.
__device__ inline float exp_difference(const float* x_high, const float* x_low, std::int64_t x, const GateState& y_of,
                                       std::int64_t y) {
  return fast_exp2((x_high[x] - y_of.G_high[y]) + (x_low[x] - y_of.G_low[y]));
}

/// Where a warp's tokens are: blockIdx.x is the link, of all heads', blockIdx.y a group of the chunk's tokens.
struct LinkTokens {
  std::int64_t batch, head, first;  ///< first: token of the link's chunk
  std::int64_t at;                  ///< where that token is in [B, NH, S]
  int group;                        ///< of four tokens of a warp: its first, in the chunk

  __device__ LinkTokens(const MlstmShape& shape, Side side) {
    const auto links = static_cast<unsigned>(link_count(shape)), pair = blockIdx.x / links;
    batch = pair / static_cast<unsigned>(shape.NH);
    head = pair % static_cast<unsigned>(shape.NH);
    first = (blockIdx.x % links + (side == Side::kQueries ? 1 : 0)) * shape.chunk;
    at = pair * shape.S + first;
    group = static_cast<int>(blockIdx.y * kLinkTokens + threadIdx.x / kWarp * 4);
  }

  /// Whether the group's n-th token is one of the chunk's rows, and whether it is one of the sequence.
  __device__ bool is_row(const MlstmShape& shape, int n) const { return group + n < shape.chunk; }
  __device__ bool is_token(const MlstmShape& shape, int n) const {
    return is_row(shape, n) && first + group + n < shape.S;
  }
  __device__ std::int64_t row(const MlstmShape& shape, int n) const {
    return static_cast<std::int64_t>(blockIdx.x) * shape.chunk + group + n;
  }
  template <typename T>
  __device__ std::uint32_t* token(const Tensor4& x, int n) const {
    return reinterpret_cast<std::uint32_t*>(static_cast<T*>(x.data) + batch * x.batch_stride +
                                            (first + group + n) * x.sequence_stride + head * x.head_stride);
  }

  /// fade · scale of the group's tokens, 0 where there is none: a lane works out one.
  __device__ void factors(float (&factors)[4], const Links& links, Side side, Fade kind, float scale) const {
    const int lane = threadIdx.x % kWarp;
    const float own =
        lane < 4 && is_token(links.shape, lane) ? fade(links, side, kind, at + group + lane) * scale : 0.0F;
#pragma unroll
    for (int n = 0; n < 4; ++n) factors[n] = __shfl_sync(kAllLanes, own, n);
  }

 private:
  __device__ float fade(const Links& links, Side side, Fade kind, std::int64_t token) const {
    const GateState& state = links.state;
    if (kind == Fade::kNone) return 1.0F;
    if (side == Side::kKeys) {
      return exp_difference(state.g_high, state.g_low, token, state, at + links.shape.chunk - 1);
    }
    const float b = exp_difference(state.G_high, state.G_low, at - 1, state, token);
    return kind == Fade::kFaded ? b : b * normaliser(links.n[token], state.bound[token], links.shape.eps).inverse;
  }
};

template <typename T>
__global__ void __launch_bounds__(kLinkThreads) split_kernel(SplitParams p) {
  const MlstmShape& shape = p.links.shape;
  const LinkTokens link(shape, p.side);
  float factor[4];
  link.factors(factor, p.links, p.side, p.fade, p.scale);
  for (int at = threadIdx.x % kWarp; at < shape.DH / 2; at += kWarp) {
    std::uint32_t x[4];
#pragma unroll
    for (int n = 0; n < 4; ++n) x[n] = link.is_token(shape, n) ? link.token<T>(p.x, n)[at] : 0U;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      if (!link.is_row(shape, n)) continue;
      const float2 pair = unpack<T>(x[n]);
      static_cast<std::uint32_t*>(p.rows)[link.row(shape, n) * shape.DH / 2 + at] =
          pack<T>(pair.x * factor[n], pair.y * factor[n]);
    }
  }
}

/// A thread block for each link and 64 channels: its warps share the tokens, the sums are added in the warps' order.
template <typename T>
__global__ void __launch_bounds__(kLinkThreads) link_sum_kernel(LinkSumParams p) {
  const MlstmShape& shape = p.links.shape;
  const LinkTokens link(shape, p.side);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, at = static_cast<int>(blockIdx.y) * kWarp + lane;
  const auto* rows =
      static_cast<const std::uint32_t*>(p.rows) + static_cast<std::int64_t>(blockIdx.x) * shape.chunk * shape.DH / 2;
  const std::int64_t tokens = shape.S - link.first < shape.chunk ? shape.S - link.first : shape.chunk;
  float2* parts = dynamic_shared<float2>();  // [warps][32]
  float2 sum{0.0F, 0.0F};
  if (2 * at < shape.DH) {
#pragma unroll 4
    for (std::int64_t token = warp; token < tokens; token += kLinkWarps) {
      const float2 pair = unpack<T>(rows[token * shape.DH / 2 + at]);
      const float weight = p.weight != nullptr ? p.weight[link.at + token] : 1.0F;
      sum.x += weight * pair.x;
      sum.y += weight * pair.y;
    }
  }
  parts[threadIdx.x] = sum;
  __syncthreads();
  if (warp != 0 || 2 * at >= shape.DH) return;
  for (int from = 1; from < kLinkWarps; ++from) {
    sum.x += parts[from * kWarp + lane].x;
    sum.y += parts[from * kWarp + lane].y;
  }
  reinterpret_cast<float2*>(p.sums + blockIdx.x * shape.DH)[at] = sum;
}

/// Two numbers of the links of head `pair`: of(link) is read, and written with the sum.
template <typename Of>
__device__ void pass_on(const Links& links, Side side, std::int64_t pair, const Of& of) {
  const std::int64_t n = link_count(links.shape);
  float2 sum{0.0F, 0.0F};
  for (std::int64_t step = 0; step < n; ++step) {
    const std::int64_t c = side == Side::kKeys ? step : n - 1 - step;
    float fade = 0.0F;
    if (step > 0) {  // between the ends of this link's chunk and of the one next to it, the later of which is `later`
      const std::int64_t later = side == Side::kKeys ? c : c + 1;
      const std::int64_t end = pair * links.shape.S + (later + 1) * links.shape.chunk - 1;
      fade = exp_difference(links.state.G_high, links.state.G_low, end - links.shape.chunk, links.state, end);
    }
    sum = of(pair * n + c, [&](const float2& own) { return float2{sum.x * fade + own.x, sum.y * fade + own.y}; });
  }
}

template <typename T>
__global__ void __launch_bounds__(kLinkThreads) pass_kernel(PassParams p) {
  const std::int64_t DH = p.links.shape.DH, pairs = (DH * DH + DH) / 2, pair = blockIdx.x;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.y) * kLinkThreads + threadIdx.x;
  if (at < DH * DH / 2) {
    auto* states = static_cast<std::uint32_t*>(p.states) + at;
    pass_on(p.links, p.side, pair, [&](std::int64_t link, const auto& with_others) {
      const float2 sum = with_others(unpack<T>(states[link * DH * DH / 2]));
      states[link * DH * DH / 2] = pack<T>(sum.x, sum.y);
      return sum;
    });
  } else if (at < pairs) {
    auto* sums = reinterpret_cast<float2*>(p.sums) + (at - DH * DH / 2);
    pass_on(p.links, p.side, pair, [&](std::int64_t link, const auto& with_others) {
      return sums[link * DH / 2] = with_others(sums[link * DH / 2]);
    });
  }
}

/// W summed over all pairs of tokens that a link joins; a thread block for each link.
template <typename T>
__global__ void __launch_bounds__(kLinkThreads) link_total_kernel(LinkTotalParams p) {
  const std::int64_t DH = p.links.shape.DH, pairs = DH * DH / 2;
  const auto* x = static_cast<const std::uint32_t*>(p.states) + blockIdx.x * pairs;
  const auto* y = static_cast<const std::uint32_t*>(p.later_states) + blockIdx.x * pairs;
  float sum = 0.0F;
#pragma unroll 4
  for (std::int64_t at = threadIdx.x; at < pairs; at += kLinkThreads) {
    const float2 a = unpack<T>(x[at]), b = unpack<T>(y[at]);
    sum += a.x * b.x + a.y * b.y;
  }
  for (std::int64_t at = threadIdx.x; at < DH; at += kLinkThreads) {
    sum -= p.sums[blockIdx.x * DH + at] * p.later_sums[blockIdx.x * DH + at];
  }
  float* parts = dynamic_shared<float>();  // [warps]
  sum = sum_of_warp(sum);
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  float total = 0.0F;
  for (int warp = 0; warp < kLinkWarps; ++warp) total += parts[warp];
  p.totals[blockIdx.x] = total * p.scale;
}

/// Stores a group's dots, one of a lane.
__device__ inline void store_dots(float* dots, const LinkTokens& link, const MlstmShape& shape, float (&sums)[4]) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    sums[n] = sum_of_warp(sums[n]);
    if (lane == n && link.is_token(shape, n)) dots[link.at + link.group + n] = sums[n];
  }
}

template <typename T>
__global__ void __launch_bounds__(kLinkThreads) dot_kernel(DotParams p) {
  const MlstmShape& shape = p.links.shape;
  const LinkTokens link(shape, Side::kQueries);
  float factor[4], sums[4] = {};
  link.factors(factor, p.links, Side::kQueries, p.fade, p.scale);
  for (int at = threadIdx.x % kWarp; at < shape.DH / 2; at += kWarp) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      if (!link.is_token(shape, n)) continue;
      const float2 x = unpack<T>(link.token<T>(p.x, n)[at]);
      const float2 y = reinterpret_cast<const float2*>(
          p.products != nullptr ? p.products + link.row(shape, n) * shape.DH : p.sums + blockIdx.x * shape.DH)[at];
      sums[n] += factor[n] * (x.x * y.x + x.y * y.y);
    }
  }
  store_dots(p.dots, link, shape, sums);
}

template <typename T>
__global__ void __launch_bounds__(kLinkThreads) merge_kernel(MergeParams p) {
  const MlstmShape& shape = p.links.shape;
  const LinkTokens link(shape, p.side);
  float factor[4], weight[4], dots[4] = {};
  link.factors(factor, p.links, p.side, p.fade, p.scale);
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    weight[n] = p.weight != nullptr && link.is_token(shape, n) ? p.weight[link.at + link.group + n] : 1.0F;
  }
  for (int at = threadIdx.x % kWarp; at < shape.DH / 2; at += kWarp) {
    const float2 sum =
        p.sums != nullptr ? reinterpret_cast<const float2*>(p.sums + blockIdx.x * shape.DH)[at] : float2{0.0F, 0.0F};
    float2 z[4] = {}, before[4] = {}, x[4] = {};
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      if (!link.is_token(shape, n)) continue;
      z[n] = reinterpret_cast<const float2*>(p.products + link.row(shape, n) * shape.DH)[at];
      before[n] = unpack<T>(link.token<T>(p.to, n)[at]);
      if (p.dots != nullptr) x[n] = unpack<T>(link.token<T>(p.x, n)[at]);
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      if (!link.is_token(shape, n)) continue;
      z[n] = {(z[n].x - weight[n] * sum.x) * factor[n], (z[n].y - weight[n] * sum.y) * factor[n]};
      link.token<T>(p.to, n)[at] = pack<T>(before[n].x + z[n].x, before[n].y + z[n].y);
      if (p.dots != nullptr) dots[n] += x[n].x * z[n].x + x[n].y * z[n].y;
    }
  }
  if (p.dots != nullptr) store_dots(p.dots, link, shape, dots);
}

}  // namespace axlstm::kernels
