// GELU, its backward pass together with the sums over tokens that are the gradient of the bias before it, and sums over
// parts. All are bound by memory: each tensor is read and written once, 16 bytes at a time.
#pragma once

#include "block_vectors.cuh"
#include "linear_plan.h"

namespace axlstm::kernels {

/// Φ(x) of the normal distribution, to 8e-8, and its density. (Abramowitz and Stegun, 7.1.26: a polynomial times the
/// exponential that the density is made of, too.)
__device__ inline float2 normal_distribution(float x) {
  constexpr float kInverseRoot = 0.39894228F;  // 1 / √(2π)
  const float exponential = fast_exp2(-0.5F * kLog2E * x * x);
  const float t = fast_inverse(1.0F + 0.3275911F * 0.70710678F * fabsf(x));
  const float tail = 0.5F * exponential * t *
                     (0.254829592F + t * (-0.284496736F + t * (1.421413741F + t * (-1.453152027F + t * 1.061405429F))));
  return {x < 0.0F ? tail : 1.0F - tail, kInverseRoot * exponential};
}

/// gelu(x), and its derivative.
template <Gelu kGelu>
__device__ float2 gelu(float x) {
  if constexpr (kGelu == Gelu::kErf) {
    const float2 normal = normal_distribution(x);
    return {x * normal.x, normal.x + x * normal.y};
  } else {
    constexpr float kRoot = 0.79788456F, kCube = 0.044715F;  // √(2/π)
    const float inner = kRoot * x * (1.0F + kCube * x * x);
    const float half = fast_sigmoid(2.0F * inner);  // (1 + tanh) / 2
    return {x * half, half + 2.0F * x * half * (1.0F - half) * kRoot * (1.0F + 3.0F * kCube * x * x)};
  }
}

template <typename T, Gelu kGelu>
__global__ void __launch_bounds__(kLinearThreads) gelu_kernel(GeluParams p) {
  const std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) * kLinearThreads + threadIdx.x) * kLinearVector;
  if (at >= p.count) return;
  Eight x = unpack_eight<T>(*reinterpret_cast<const uint4*>(static_cast<const T*>(p.x) + at));
#pragma unroll
  for (float& of : x.v) of = gelu<kGelu>(of).x;
  store_eight(static_cast<T*>(p.y) + at, x);
}

template <typename T, Gelu kGelu>
__global__ void __launch_bounds__(kLinearThreads) bias_gradient_kernel(BiasGradientParams p) {
  constexpr int kAtOnce = 4;  // tokens of a warp that are read before the first is used
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.y) * kLinearColumns + lane * kLinearVector;
  const std::int64_t each = (p.tokens + gridDim.x - 1) / gridDim.x, first = blockIdx.x * each;
  const std::int64_t end = first + each < p.tokens ? first + each : p.tokens;
  Eight sums = {};
  for (std::int64_t token = first + warp; column < p.N && token < end; token += kAtOnce * kLinearWarps) {
    uint4 dy[kAtOnce] = {}, x[kAtOnce] = {};
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) {
      const std::int64_t at = (token + n * kLinearWarps) * p.N + column;
      if (token + n * kLinearWarps >= end) continue;
      dy[n] = *reinterpret_cast<const uint4*>(static_cast<const T*>(p.dy) + at);
      if constexpr (kGelu != Gelu::kNone) x[n] = *reinterpret_cast<const uint4*>(static_cast<const T*>(p.x) + at);
    }
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) {
      Eight dx = unpack_eight<T>(dy[n]);
      if constexpr (kGelu != Gelu::kNone) {
        const Eight of = unpack_eight<T>(x[n]);
#pragma unroll
        for (int v = 0; v < kLinearVector; ++v) dx.v[v] *= gelu<kGelu>(of.v[v]).y;
        const std::int64_t at = (token + n * kLinearWarps) * p.N + column;
        if (token + n * kLinearWarps < end) store_eight(static_cast<T*>(p.dx) + at, dx);
      }
#pragma unroll
      for (int v = 0; v < kLinearVector; ++v) sums.v[v] += dx.v[v];
    }
  }
  auto* shared = dynamic_shared<float>();  // [warps][vector][lanes]
#pragma unroll
  for (int v = 0; v < kLinearVector; ++v) shared[(warp * kLinearVector + v) * kWarp + lane] = sums.v[v];
  __syncthreads();
  static_assert(kLinearWarps == kLinearVector);  // a warp for each channel of the vectors
  if (column >= p.N) return;
  float total = 0.0F;
  for (int from = 0; from < kLinearWarps; ++from) total += shared[(from * kLinearVector + warp) * kWarp + lane];
  p.parts[blockIdx.x * p.N + column + warp] = total;
}

inline __global__ void __launch_bounds__(kSumWarps* kWarp) sum_over_parts_kernel(SumPartsParams p) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int warps = p.parts < kSumWarps ? static_cast<int>(p.parts) : kSumWarps;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kWarp + lane;
  float sum = 0.0F;
  if (column < p.N) {
#pragma unroll 8
    for (std::int64_t part = warp; part < p.parts; part += warps) sum += p.from[part * p.N + column];
  }
  auto* shared = dynamic_shared<float>();  // [warps][lanes]
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || column >= p.N) return;
  float total = 0.0F;
  for (int from = 0; from < warps; ++from) total += shared[from * kWarp + lane];
  p.to[column] = total;
}

}  // namespace axlstm::kernels
