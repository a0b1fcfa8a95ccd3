// The residual stream between layers: add the last layer's output, normalise for the next layer. One warp a token.
#pragma once

#include "block_plan.h"
#include "warp.cuh"

namespace axlstm::kernels {

/// Mean and 1 / deviation of a row that a warp holds, `Pairs` pairs a lane, zeros beyond the width.
template <int Pairs>
__device__ float2 row_statistics(const float2 (&row)[Pairs], int lane, std::int64_t width, float eps) {
  float sum = 0.0F;
#pragma unroll
  for (const float2& pair : row) sum += pair.x + pair.y;
  const float mean = sum_of_warp(sum) / static_cast<float>(width);
  float squares = 0.0F;
#pragma unroll
  for (int n = 0; n < Pairs; ++n) {
    if (2 * (n * kWarp + lane) >= width) continue;
    squares += (row[n].x - mean) * (row[n].x - mean) + (row[n].y - mean) * (row[n].y - mean);
  }
  return {mean, rsqrtf(sum_of_warp(squares) / static_cast<float>(width) + eps)};
}

/// Where token `row` of [B, S] lies when each sequence may run backwards.
__device__ inline std::int64_t place_of(std::int64_t row, std::int64_t S, bool reverse) {
  return reverse ? row + S - 1 - 2 * (row % S) : row;
}

/// Σ over the thread block's warps, in their order.
template <int Pairs>
__device__ void store_part(const float2 (&own)[Pairs], std::int64_t width, float* part) {
  float2* shared = dynamic_shared<float2>();  // [warps][Pairs · 32]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  __syncthreads();  // what the last call left has been read
#pragma unroll
  for (int n = 0; n < Pairs; ++n) shared[(warp * Pairs + n) * kWarp + lane] = own[n];
  __syncthreads();
  for (int at = threadIdx.x; at < Pairs * kWarp && 2 * at < width; at += kNormThreads) {
    float2 total{0.0F, 0.0F};
    for (int from = 0; from < kNormThreads / kWarp; ++from) {
      total.x += shared[from * Pairs * kWarp + at].x;
      total.y += shared[from * Pairs * kWarp + at].y;
    }
    reinterpret_cast<float2*>(part)[at] = total;
  }
}

/// Widths up to 64 · Pairs.
template <int Pairs, typename T>
__global__ void __launch_bounds__(kNormThreads) add_norm_kernel(AddNormParams p) {
  const int lane = threadIdx.x % kWarp;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kNormThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= p.B * p.S) return;
  const auto* x = reinterpret_cast<const float2*>(p.x + row * p.D);
  const auto* y = static_cast<const std::uint32_t*>(p.y) + place_of(row, p.S, p.reverse_y) * p.D / 2;
  auto* sum_out = reinterpret_cast<float2*>(p.sum + row * p.D);
  auto* u = static_cast<std::uint32_t*>(p.u) + place_of(row, p.S, p.reverse_u) * p.D / 2;
  const auto* weight = reinterpret_cast<const float2*>(p.weight);
  float2 sum[Pairs];
#pragma unroll
  for (int n = 0; n < Pairs; ++n) {
    const int at = n * kWarp + lane;
    sum[n] = {0.0F, 0.0F};
    if (2 * at >= p.D) continue;
    sum[n] = x[at];
    if (p.y != nullptr) {
      const float2 added = unpack<T>(y[at]);
      sum[n].x += added.x;
      sum[n].y += added.y;
    }
    sum_out[at] = sum[n];
  }
  const float2 norm = row_statistics(sum, lane, p.D, p.eps);
#pragma unroll
  for (int n = 0; n < Pairs; ++n) {
    const int at = n * kWarp + lane;
    if (2 * at >= p.D) continue;
    const float2 w = weight[at], bias = p.bias != nullptr ? reinterpret_cast<const float2*>(p.bias)[at] : float2{0, 0};
    u[at] = pack<T>((sum[n].x - norm.x) * norm.y * (p.weight_offset + w.x) + bias.x,
                    (sum[n].y - norm.x) * norm.y * (p.weight_offset + w.y) + bias.y);
  }
}

/// The statistics are taken again from `sum`: cheaper than to store and read them.
template <int Pairs, typename T>
__global__ void __launch_bounds__(kNormThreads) add_norm_backward_kernel(AddNormBackwardParams b) {
  constexpr int kWarps = kNormThreads / kWarp;
  const AddNormParams& p = b.forward;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  float2 weight[Pairs], dweight[Pairs], dbias[Pairs];
#pragma unroll
  for (int n = 0; n < Pairs; ++n) {
    const int at = n * kWarp + lane;
    weight[n] = 2 * at < p.D ? reinterpret_cast<const float2*>(p.weight)[at] : float2{0.0F, 0.0F};
    dweight[n] = dbias[n] = {0.0F, 0.0F};
  }
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kWarps + warp; row < p.B * p.S;
       row += static_cast<std::int64_t>(gridDim.x) * kWarps) {
    const auto* sum = reinterpret_cast<const float2*>(p.sum + row * p.D);
    const auto* du = static_cast<const std::uint32_t*>(b.du) + place_of(row, p.S, p.reverse_u) * p.D / 2;
    const auto* dsum = reinterpret_cast<const float2*>(b.dsum + row * p.D);
    float2 x[Pairs], dx[Pairs], direct[Pairs];  // all read before the first reduction waits for any of them
#pragma unroll
    for (int n = 0; n < Pairs; ++n) {
      const int at = n * kWarp + lane;
      x[n] = 2 * at < p.D ? sum[at] : float2{0.0F, 0.0F};
      dx[n] = 2 * at < p.D ? unpack<T>(du[at]) : float2{0.0F, 0.0F};
      direct[n] = 2 * at < p.D && b.dsum != nullptr ? dsum[at] : float2{0.0F, 0.0F};
    }
    const float2 norm = row_statistics(x, lane, p.D, p.eps);
    float mean = 0.0F, mean_x = 0.0F;
#pragma unroll
    for (int n = 0; n < Pairs; ++n) {
      x[n] = {(x[n].x - norm.x) * norm.y, (x[n].y - norm.x) * norm.y};  // normalised; beyond the width dx is 0
      dweight[n].x += dx[n].x * x[n].x;
      dweight[n].y += dx[n].y * x[n].y;
      dbias[n].x += dx[n].x;
      dbias[n].y += dx[n].y;
      dx[n].x *= p.weight_offset + weight[n].x;
      dx[n].y *= p.weight_offset + weight[n].y;
      mean += dx[n].x + dx[n].y;
      mean_x += dx[n].x * x[n].x + dx[n].y * x[n].y;
    }
    mean = sum_of_warp(mean) / static_cast<float>(p.D);
    mean_x = sum_of_warp(mean_x) / static_cast<float>(p.D);
    auto* out = reinterpret_cast<float2*>(b.dx + row * p.D);
    auto* dy = static_cast<std::uint32_t*>(b.dy) + place_of(row, p.S, p.reverse_y) * p.D / 2;
#pragma unroll
    for (int n = 0; n < Pairs; ++n) {
      const int at = n * kWarp + lane;
      if (2 * at >= p.D) continue;
      const float2 total{direct[n].x + norm.y * (dx[n].x - mean - x[n].x * mean_x),
                         direct[n].y + norm.y * (dx[n].y - mean - x[n].y * mean_x)};
      out[at] = total;
      if (b.dy != nullptr) dy[at] = pack<T>(total.x, total.y);
    }
  }
  store_part<Pairs>(dweight, p.D, b.dweight_parts + blockIdx.x * p.D);
  if (b.dbias_parts != nullptr) store_part<Pairs>(dbias, p.D, b.dbias_parts + blockIdx.x * p.D);
}

}  // namespace axlstm::kernels
