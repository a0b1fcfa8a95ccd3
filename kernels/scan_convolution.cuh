// The causal depthwise convolution before the scan, with its SiLU: a thread two channels of a stretch of tokens.
#pragma once

#include "scan_terms.cuh"

namespace axlstm::kernels {

/// Taps of two channels, the oldest token's first.
struct Taps {
  float2 weight[4], bias;

  __device__ Taps(const ConvolutionParams& p, std::int64_t channel)
      : bias(*reinterpret_cast<const float2*>(p.bias + channel)) {
#pragma unroll
    for (int tap = 0; tap < 4; ++tap) {
      weight[tap] = *reinterpret_cast<const float2*>(p.weight + tap * p.shape.I + channel);
    }
  }

  /// Of the three tokens before and the present one.
  __device__ float2 of(const float2 (&a)[4]) const {
    float2 sum = bias;
#pragma unroll
    for (int tap = 0; tap < 4; ++tap) {
      sum.x += weight[tap].x * a[tap].x;
      sum.y += weight[tap].y * a[tap].y;
    }
    return sum;
  }
};

/// Tokens that are loaded before the first of them is needed, forward and backward; others were slower on an H200.
inline constexpr int kAtOnce = 8, kAtOnceBack = 4;

/// Where a thread of the convolution's kernels works.
struct Stretch {
  std::int64_t clip, channel, number, first, end;  ///< tokens first … end − 1

  __device__ explicit Stretch(const ScanShape& shape) {
    clip = blockIdx.z;
    channel = 2 * (static_cast<std::int64_t>(blockIdx.x) * kConvolutionThreads + threadIdx.x);
    number = blockIdx.y;
    first = number * kStretchTokens;
    end = first + kStretchTokens < shape.S ? first + kStretchTokens : shape.S;
  }
};

/// 0 before the first token.
template <typename T>
__device__ inline float2 token_of(const TokenRows& a, const Stretch& at, std::int64_t token) {
  return token < 0 ? float2{0.0F, 0.0F} : load_two<T>(a, at.clip, token, at.channel);
}

template <typename T>
__global__ void __launch_bounds__(kConvolutionThreads) convolution_kernel(ConvolutionParams p) {
  const Stretch at(p.shape);
  if (at.channel >= p.shape.I) return;
  const Taps taps(p, at.channel);
  float2 a[4];
#pragma unroll
  for (int tap = 0; tap < 3; ++tap) a[tap + 1] = token_of<T>(p.a, at, at.first - 3 + tap);
  for (std::int64_t first = at.first; first < at.end; first += kAtOnce) {
    float2 later[kAtOnce];
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) {
      if (first + n < at.end) later[n] = token_of<T>(p.a, at, first + n);
    }
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) {
      a[0] = a[1], a[1] = a[2], a[2] = a[3], a[3] = later[n];
      const float2 x = taps.of(a);
      const float2 c{x.x * fast_sigmoid(x.x), x.y * fast_sigmoid(x.y)};
      if (first + n < at.end) store_two<T>(p.c, at.clip, first + n, at.channel, c);
    }
  }
}

/// From the last token to the first; the three tokens behind the stretch take part for what they saw of it.
template <typename T>
__global__ void __launch_bounds__(kConvolutionThreads) convolution_backward_kernel(ConvolutionBackwardParams b) {
  const ConvolutionParams& p = b.forward;
  const Stretch at(p.shape);
  if (at.channel >= p.shape.I) return;
  const Taps taps(p, at.channel);
  float2 dweight[4], dbias{0.0F, 0.0F}, later[3], a[4];  // later: gradients of the convolution at the next tokens
#pragma unroll
  for (float2& sum : dweight) sum = {0.0F, 0.0F};
#pragma unroll
  for (float2& gradient : later) gradient = {0.0F, 0.0F};
  const std::int64_t last = at.end + 2 < p.shape.S ? at.end + 2 : p.shape.S - 1;
#pragma unroll
  for (int tap = 0; tap < 3; ++tap) a[tap] = token_of<T>(p.a, at, last - 2 + tap);
  for (std::int64_t behind = last; behind >= at.first; behind -= kAtOnceBack) {
    float2 earlier[kAtOnceBack], dc[kAtOnceBack];
#pragma unroll
    for (int n = 0; n < kAtOnceBack; ++n) {
      const std::int64_t t = behind - n;
      earlier[n] = token_of<T>(p.a, at, t - 3);
      dc[n] = t < at.first ? float2{0.0F, 0.0F} : load_two<T>(b.dc, at.clip, t, at.channel);
    }
#pragma unroll
    for (int n = 0; n < kAtOnceBack; ++n) {
      const std::int64_t t = behind - n;
      a[3] = a[2], a[2] = a[1], a[1] = a[0], a[0] = earlier[n];
      const float2 x = taps.of(a);
      const float2 now{dc[n].x * silu_slope(x.x, fast_sigmoid(x.x)), dc[n].y * silu_slope(x.y, fast_sigmoid(x.y))};
      if (t >= at.first && t < at.end) {
        float2 da{taps.weight[3].x * now.x, taps.weight[3].y * now.y};
#pragma unroll
        for (int tap = 0; tap < 3; ++tap) {
          da.x += taps.weight[2 - tap].x * later[tap].x;
          da.y += taps.weight[2 - tap].y * later[tap].y;
        }
        store_two<T>(b.da, at.clip, t, at.channel, da);
#pragma unroll
        for (int tap = 0; tap < 4; ++tap) {
          dweight[tap].x += now.x * a[tap].x;
          dweight[tap].y += now.y * a[tap].y;
        }
        dbias = {dbias.x + now.x, dbias.y + now.y};
      }
      later[2] = later[1], later[1] = later[0], later[0] = now;
    }
  }
  float* part = b.parts + (at.clip * gridDim.y + at.number) * 5 * p.shape.I + at.channel;
#pragma unroll
  for (int tap = 0; tap < 4; ++tap) *reinterpret_cast<float2*>(part + tap * p.shape.I) = dweight[tap];
  *reinterpret_cast<float2*>(part + 4 * p.shape.I) = dbias;
}

}  // namespace axlstm::kernels
