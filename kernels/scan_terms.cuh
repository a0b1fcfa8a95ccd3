// What the forward and the backward pass of the scan share: a channel's place, its loads and steps.
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

/// ln(1 + exp(x)), a few units in the last place; beyond 20 x itself, as LibTorch's.
__device__ inline float softplus(float x) {
  const float e = fast_exp2(kLog2E * x);
  // 1 + e would round a small e away
  const float series = e * (1.0F - e * (0.5F - e * (1.0F / 3 - e * (0.25F - e * 0.2F))));
  const float exact = e < 0.0625F ? series : kLn2 * fast_log2(1.0F + e);
  return x > 20.0F ? x : exact;
}

/// SiLU'(x), of sigmoid = σ(x).
__device__ inline float silu_slope(float x, float sigmoid) { return sigmoid * (1.0F + x * (1.0F - sigmoid)); }

/// Which channel of which clip a thread has. One behind the last channel reads that one's, and stores nothing.
struct Channel {
  std::int64_t clip, number;
  bool exists;

  __device__ explicit Channel(const ScanShape& shape)
      : clip(blockIdx.y), number(static_cast<std::int64_t>(blockIdx.x) * kScanThreads + threadIdx.x) {
    exists = number < shape.I;
    if (!exists) number = shape.I - 1;
  }
};

/// A channel's elements, one of each token.
template <typename T>
class Column {
 public:
  __device__ Column(const TokenRows& rows, const Channel& channel)
      : first_(reinterpret_cast<char*>(static_cast<T*>(rows.data) + channel.clip * rows.clip_stride + channel.number)),
        stride_(static_cast<int>(rows.token_stride * static_cast<std::int64_t>(sizeof(T)))) {}

  __device__ T load(int token) const { return *at(token); }
  __device__ void store(int token, float x) const { *at(token) = static_cast<T>(x); }
  __device__ void prefetch(int token) const { kernels::prefetch(at(token)); }

 private:
  /// A product of 32 bits by 32 and a sum: one instruction.
  __device__ T* at(int token) const {
    return reinterpret_cast<T*>(first_ + static_cast<std::int64_t>(token) * stride_);
  }

  char* first_;
  int stride_;  // in bytes
};

/// A log₂e of a channel, 0 where there is no state.
template <int States>
__device__ inline void load_rates(float (&A)[States], const ScanParams& p, const Channel& channel) {
#pragma unroll
  for (int n = 0; n < States; ++n) {
    A[n] = n < p.shape.N ? kLog2E * p.A[n * p.shape.I + channel.number] : 0.0F;
  }
}

__device__ inline int chunks_of(const ScanShape& shape) {
  return static_cast<int>((shape.S + kScanChunk - 1) / kScanChunk);
}

/// Tokens of a chunk.
__device__ inline int tokens_of(const ScanShape& shape, int chunk) {
  const int left = static_cast<int>(shape.S) - chunk * kScanChunk;
  return left < kScanChunk ? left : kScanChunk;
}

/// States of a channel in the tokens' type, 16 bytes at a time.
template <int States, typename T>
struct Packed {
  static constexpr int kStates = static_cast<int>(sizeof(uint4) / sizeof(T)), kVectors = States / kStates;

  __device__ static uint4 pack_states(const float* h) {
    if constexpr (std::is_same_v<T, float>) {
      return {bits_as<std::uint32_t>(h[0]), bits_as<std::uint32_t>(h[1]), bits_as<std::uint32_t>(h[2]),
              bits_as<std::uint32_t>(h[3])};
    } else {
      return {pack<T>(h[0], h[1]), pack<T>(h[2], h[3]), pack<T>(h[4], h[5]), pack<T>(h[6], h[7])};
    }
  }
  __device__ static void unpack_states(float* h, const uint4& bits) {
    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      if constexpr (std::is_same_v<T, float>) {
        h[n] = bits_as<float>(words[n]);
      } else {
        const float2 two = unpack<T>(words[n]);
        h[2 * n] = two.x;
        h[2 * n + 1] = two.y;
      }
    }
  }
};

/// The kept states of a channel before a chunk, at [clip, chunk, channel, 0].
template <int States, typename T>
__device__ inline uint4* kept_states(const ScanParams& p, const Channel& channel, int chunk) {
  const std::int64_t row = (channel.clip * chunks_of(p.shape) + chunk) * p.shape.I + channel.number;
  return static_cast<uint4*>(p.states) + row * Packed<States, T>::kVectors;
}

/// Brings a chunk's tokens closer, of several columns: a lane a token of its warp's channels.
template <typename... Columns>
__device__ inline void prefetch_chunk(const ScanShape& shape, int chunk, const Columns&... columns) {
  const int t = static_cast<int>(threadIdx.x) % kWarp;
  if (chunk >= 0 && chunk < chunks_of(shape) && t < tokens_of(shape, chunk))
    (columns.prefetch(chunk * kScanChunk + t), ...);
}

/// Loads B and C of a chunk in two steps, between which they are on their way; 0 where there is no state.
template <int States, typename T>
class TileLoader {
 public:
  __device__ TileLoader(const ScanParams& p, std::int64_t clip, int chunk) : tokens_(tokens_of(p.shape, chunk)) {
    const auto row = [&](const TokenRows& rows, int token) {
      return static_cast<const T*>(rows.data) + clip * rows.clip_stride + token * rows.token_stride;
    };
    each([&](int n, int t, int state) {
      if (state >= p.shape.N) return;
      B_[n] = row(p.B, chunk * kScanChunk + t)[state];
      C_[n] = row(p.C, chunk * kScanChunk + t)[state];
    });
  }

  __device__ void store(StateTile<States>& tile) const {
    each([&](int n, int t, int state) {
      tile.B[t][state] = static_cast<float>(B_[n]);
      tile.C[t][state] = static_cast<float>(C_[n]);
    });
  }

 private:
  static constexpr int kOwn = (kScanChunk * States + kScanThreads - 1) / kScanThreads;  ///< elements of a thread

  template <typename Work>
  __device__ void each(const Work& work) const {
#pragma unroll
    for (int n = 0; n < kOwn; ++n) {
      const int at = n * kScanThreads + static_cast<int>(threadIdx.x);
      if (at < tokens_ * States) work(n, at / States, at % States);
    }
  }

  int tokens_;
  T B_[kOwn] = {}, C_[kOwn] = {};
};

/// h after a token, of h before it.
template <int States>
__device__ inline void advance(float (&h)[States], const float (&A)[States], float step, float inflow,
                               const float (&B)[States]) {
#pragma unroll
  for (int n = 0; n < States; n += 4) {
    const Four b = load_floats(B + n);
#pragma unroll
    for (int m = 0; m < 4; ++m) h[n + m] = fast_exp2(step * A[n + m]) * h[n + m] + inflow * b.v[m];
  }
}

}  // namespace axlstm::kernels
