// What the forward and the backward pass of the scan share: loads of two channels, steps, sums over lanes.
#pragma once

#include <type_traits>

#include "block_vectors.cuh"
#include "scan_plan.h"
#include "warp.cuh"

namespace axlstm::kernels {

/// Two neighbouring channels of a token.
template <typename T>
__device__ inline float2 load_two(const TokenRows& rows, std::int64_t clip, std::int64_t token, std::int64_t column) {
  const T* at = static_cast<const T*>(rows.data) + clip * rows.clip_stride + token * rows.token_stride + column;
  if constexpr (std::is_same_v<T, float>) return *reinterpret_cast<const float2*>(at);
  if constexpr (!std::is_same_v<T, float>) return unpack<T>(*reinterpret_cast<const std::uint32_t*>(at));
}

template <typename T>
__device__ inline void store_two(const TokenRows& rows, std::int64_t clip, std::int64_t token, std::int64_t column,
                                 float2 x) {
  T* at = static_cast<T*>(rows.data) + clip * rows.clip_stride + token * rows.token_stride + column;
  if constexpr (std::is_same_v<T, float>) *reinterpret_cast<float2*>(at) = x;
  if constexpr (!std::is_same_v<T, float>) *reinterpret_cast<std::uint32_t*>(at) = pack<T>(x.x, x.y);
}

/// One column of a token.
template <typename T>
__device__ inline float load_one(const TokenRows& rows, std::int64_t clip, std::int64_t token, std::int64_t column) {
  return static_cast<float>(
      static_cast<const T*>(rows.data)[clip * rows.clip_stride + token * rows.token_stride + column]);
}

/// ln(1 + exp(x)), a few units in the last place; beyond 20 x itself, as LibTorch's.
__device__ inline float softplus(float x) {
  if (x > 20.0F) return x;
  const float e = fast_exp2(kLog2E * x);
  // 1 + e would round a small e away
  const float series = e * (1.0F - e * (0.5F - e * (1.0F / 3 - e * (0.25F - e * 0.2F))));
  return e < 0.0625F ? series : kLn2 * fast_log2(1.0F + e);
}

/// SiLU'(x), of sigmoid = σ(x).
__device__ inline float silu_slope(float x, float sigmoid) { return sigmoid * (1.0F + x * (1.0F - sigmoid)); }

/// Channels × states of a lane.
template <int Channels, int States>
using Lane = float[Channels][States];

/// Number `k` of a lane's states.
__device__ inline int state_of(int k) { return static_cast<int>(threadIdx.x) % kStateLanes + k * kStateLanes; }

/// Where a lane's channels begin in the CTA's.
template <int Channels>
__device__ inline int first_channel() {
  return static_cast<int>(threadIdx.x) / kStateLanes * Channels;
}

template <int Count>
__device__ inline void load_shared(float (&x)[Count], const float* from) {
  static_assert(Count % 2 == 0);
  if constexpr (Count % 4 == 0) {
#pragma unroll
    for (int n = 0; n < Count; n += 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + n);
      x[n] = four.x, x[n + 1] = four.y, x[n + 2] = four.z, x[n + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int n = 0; n < Count; n += 2) {
      const float2 two = *reinterpret_cast<const float2*>(from + n);
      x[n] = two.x, x[n + 1] = two.y;
    }
  }
}

/// B or C of a token, this lane's states.
template <int States>
__device__ inline void load_states(float (&x)[States], const float* token) {
#pragma unroll
  for (int k = 0; k < States; ++k) x[k] = token[state_of(k)];
}

/// A log₂e of this lane, 0 where there is no channel or state.
template <int Channels, int States>
__device__ inline void load_rates(Lane<Channels, States>& A, const ScanParams& p, std::int64_t channel) {
#pragma unroll
  for (int k = 0; k < States; ++k) {
#pragma unroll
    for (int c = 0; c < Channels; ++c) {
      const bool inside = channel + c < p.shape.I && state_of(k) < p.shape.N;
      A[c][k] = inside ? kLog2E * p.A[state_of(k) * p.shape.I + channel + c] : 0.0F;
    }
  }
}

__device__ inline std::int64_t chunks_of(const ScanShape& shape) { return (shape.S + kScanChunk - 1) / kScanChunk; }

/// The kept state before a chunk, at [clip, chunk, 0, channel].
template <typename T>
__device__ inline T* kept_states(const ScanParams& p, std::int64_t clip, std::int64_t chunk, std::int64_t channel) {
  return static_cast<T*>(p.states) + (clip * chunks_of(p.shape) + chunk) * p.shape.N * p.shape.I + channel;
}

/// Calls work(token of the chunk, column of the tile, whether the channel exists) for each pair of channels that this
/// thread has: the same ones in every chunk.
template <int Width, typename Work>
__device__ inline void each_pair(int tokens, std::int64_t channels, const Work& work) {
  constexpr int kPairs = Width / 2, kRows = kScanThreads / kPairs;
  static_assert(kScanThreads % kPairs == 0);
  const int column = 2 * (static_cast<int>(threadIdx.x) % kPairs);
  for (int t = static_cast<int>(threadIdx.x) / kPairs; t < tokens; t += kRows) work(t, column, column < channels);
}

/// Δ and Δ u of a chunk into the tiles, 0 where there is no channel; and B and C, 0 where there is no state.
template <typename T, typename Tiles>
__device__ inline void load_chunk(const ScanParams& p, Tiles& tiles, std::int64_t clip, std::int64_t first, int tokens,
                                  std::int64_t channel) {
  each_pair<Tiles::kWidth>(tokens, p.shape.I - channel, [&](int t, int column, bool inside) {
    float2 step{0.0F, 0.0F}, inflow{0.0F, 0.0F};
    if (inside) {
      const float2 u = load_two<T>(p.u, clip, first + t, channel + column);
      const float2 delta = load_two<T>(p.delta, clip, first + t, channel + column);
      const float2 bias = *reinterpret_cast<const float2*>(p.bias + channel + column);
      step = {softplus(delta.x + bias.x), softplus(delta.y + bias.y)};
      inflow = {step.x * u.x, step.y * u.y};
    }
    *reinterpret_cast<float2*>(&tiles.step[t][column]) = step;
    *reinterpret_cast<float2*>(&tiles.inflow[t][column]) = inflow;
  });
  constexpr int kStates = static_cast<int>(std::extent_v<decltype(Tiles::B), 1>);
  for (int at = static_cast<int>(threadIdx.x); at < tokens * kStates; at += kScanThreads) {
    const int t = at / kStates, n = at % kStates;
    const bool inside = n < p.shape.N;
    tiles.B[t][n] = inside ? load_one<T>(p.B, clip, first + t, n) : 0.0F;
    tiles.C[t][n] = inside ? load_one<T>(p.C, clip, first + t, n) : 0.0F;
  }
}

/// h after a token, and how much of h before it is left in it.
template <int Channels, int States>
__device__ inline void advance(Lane<Channels, States>& after, Lane<Channels, States>& decay,
                               const Lane<Channels, States>& before, const Lane<Channels, States>& A,
                               const float (&step)[Channels], const float (&inflow)[Channels],
                               const float (&B)[States]) {
#pragma unroll
  for (int c = 0; c < Channels; ++c) {
#pragma unroll
    for (int k = 0; k < States; ++k) {
      decay[c][k] = fast_exp2(step[c] * A[c][k]);
      after[c][k] = decay[c][k] * before[c][k] + inflow[c] * B[k];
    }
  }
}

/// Σ over the lanes that share channels, of each channel's x: the result is that of channel
/// summed_channel<Channels>() of this lane's.
template <int Channels>
__device__ inline float sum_of_states(float (&x)[Channels]) {
  int count = Channels;
#pragma unroll
  for (int bit = kStateLanes / 2; bit > 0; bit /= 2) {
    if (count == 1) {
      x[0] += __shfl_xor_sync(kAllLanes, x[0], bit);
      continue;
    }
    // This lane goes on with one half of the sums, the other lane with the other.
    count /= 2;
    const bool upper = (threadIdx.x & static_cast<unsigned>(bit)) != 0;
#pragma unroll
    for (int n = 0; n < Channels / 2; ++n) {
      if (n >= count) break;
      const float given = upper ? x[n] : x[n + count], own = upper ? x[n + count] : x[n];
      x[n] = own + __shfl_xor_sync(kAllLanes, given, bit);
    }
  }
  return x[0];
}
template <int Channels>
__device__ inline int summed_channel() {
  return static_cast<int>(threadIdx.x) % kStateLanes * Channels / kStateLanes;
}

/// Σ over the lanes that share states, of each of `Count` numbers: first … first + kLeft − 1 are then in x, if `stores`
/// (else another lane has the same).
template <int Count>
struct ChannelSums {
  static constexpr bool kHalvesTwice = Count % 4 == 0;
  static constexpr int kLeft = kHalvesTwice ? Count / 4 : Count / 2;
  int first = 0;
  bool stores = true;

  __device__ explicit ChannelSums(float (&x)[Count]) {
    halve<Count / 2>(x, 2 * kStateLanes);
    if constexpr (kHalvesTwice) {
      halve<Count / 4>(x, kStateLanes);
    } else {
      stores = (threadIdx.x & kStateLanes) == 0;
#pragma unroll
      for (int n = 0; n < Count / 2; ++n) x[n] += __shfl_xor_sync(kAllLanes, x[n], kStateLanes);
    }
  }

 private:
  template <int Half>
  __device__ void halve(float (&x)[Count], int bit) {
    const bool upper = (threadIdx.x & static_cast<unsigned>(bit)) != 0;
    if (upper) first += Half;
#pragma unroll
    for (int n = 0; n < Half; ++n) {
      const float given = upper ? x[n] : x[n + Half], own = upper ? x[n + Half] : x[n];
      x[n] = own + __shfl_xor_sync(kAllLanes, given, bit);
    }
  }
};

}  // namespace axlstm::kernels
