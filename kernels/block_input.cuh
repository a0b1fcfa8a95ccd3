// What precedes the cell: c = SiLU(causal conv(a)), the block-diagonal q, k (of c) and v (of a), and the gates. A
// thread has four channels, one block of the projections, and walks along time.
#pragma once

#include "block_params.h"
#include "block_vectors.cuh"

namespace axlstm::kernels {

constexpr int kInputTokens = 64;  // of one block

/// y = W x for one 4×4 block W of [4 (out), blocks, 4 (in)].
__device__ inline Four block_times(const float* weight, std::int64_t channels, const Four& x) {
  Four y;
#pragma unroll
  for (int out = 0; out < 4; ++out) {
    const Four w = load_floats(weight + out * channels);
    y.v[out] = w.v[0] * x.v[0] + w.v[1] * x.v[1] + w.v[2] * x.v[2] + w.v[3] * x.v[3];
  }
  return y;
}

/// The convolution's taps of a thread's channels: taps[channel].v[k] weighs the token k − 3 steps away.
struct Taps {
  Four taps[4];
  Four bias;

  __device__ Taps(const BlockInputParams& p, int channel) : bias(load_floats(p.conv_bias + channel)) {
    for (int e = 0; e < 4; ++e) taps[e] = load_floats(p.conv_weight + (channel + e) * kConvTaps);
  }
  /// The convolution where `a` are the token and the three before it, the earliest first.
  __device__ Four at(const Four& a0, const Four& a1, const Four& a2, const Four& a3) const {
    Four x;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      x.v[e] =
          bias.v[e] + taps[e].v[0] * a0.v[e] + taps[e].v[1] * a1.v[e] + taps[e].v[2] * a2.v[e] + taps[e].v[3] * a3.v[e];
    }
    return x;
  }
};

/// Each of 32 values summed over the warp: values[0] of lane l becomes the sum of all values[l]. 31 exchanges in all.
template <int Half = 16>
__device__ inline void sum_each(float (&values)[32], int lane) {
  const bool upper = (lane & Half) != 0;
#pragma unroll
  for (int n = 0; n < Half; ++n) {
    const float sent = upper ? values[n] : values[n + Half];
    const float kept = upper ? values[n + Half] : values[n];
    values[n] = kept + __shfl_xor_sync(kAllLanes, sent, Half);
  }
  if constexpr (Half > 1) sum_each<Half / 2>(values, lane);
}

/// One block: all channels of 64 tokens of a sequence, four tokens a step. As many threads as there are channels / 4,
/// rounded up to whole warps.
template <int MaxThreads, typename T>
__global__ void __launch_bounds__(MaxThreads) block_input_kernel(BlockInputParams p) {
  __shared__ float gate_sums[2][MaxThreads / kWarp][32];
  const BlockShape& shape = p.shape;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  const bool active = 4 * static_cast<std::int64_t>(threadIdx.x) < shape.I;
  const int channel = active ? 4 * static_cast<int>(threadIdx.x) : 0;
  const std::int64_t stretches = (shape.S + kInputTokens - 1) / kInputTokens;
  const std::int64_t batch = blockIdx.x / stretches, begin = blockIdx.x % stretches * kInputTokens;
  const std::int64_t end = begin + kInputTokens < shape.S ? begin + kInputTokens : shape.S;
  const T* a_row = static_cast<const T*>(p.up) + batch * shape.S * 2 * shape.I + channel;
  const auto load_a = [&](std::int64_t t) {
    return active && t >= 0 && t < shape.S ? load_packed(a_row + t * 2 * shape.I) : uint2{};
  };
  const Taps conv(p, channel);
  Four a[7];                                  // the step's four tokens and three before
  constexpr bool kAhead = MaxThreads <= 384;  // larger blocks have no registers left for that
  uint2 next[4];                              // read while the step before is computed
#pragma unroll
  for (int n = 0; n < 3; ++n) a[n] = unpack_four<T>(load_a(begin - 3 + n));
#pragma unroll
  for (int n = 0; n < 4; ++n) next[n] = kAhead ? load_a(begin + n) : uint2{};
  for (std::int64_t t = begin; t < end; t += 4) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      a[3 + n] = unpack_four<T>(kAhead ? next[n] : load_a(t + n));
      if (kAhead) next[n] = load_a(t + 4 + n);
    }
    Four c[4];
    float gates[32];  // [token][gate]
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      c[n] = conv.at(a[n], a[n + 1], a[n + 2], a[n + 3]);
#pragma unroll
      for (float& x : c[n].v) x *= fast_sigmoid(x);
    }
#pragma unroll
    for (int gate = 0; gate < kGates; ++gate) {
      const Four of_c = load_floats(p.c_weight + gate * shape.I + channel);
      const Four of_a = load_floats(p.a_weight + gate * shape.I + channel);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        float sum = 0.0F;
#pragma unroll
        for (int e = 0; e < 4; ++e) sum += of_c.v[e] * c[n].v[e] + of_a.v[e] * a[3 + n].v[e];
        gates[n * kGates + gate] = active ? sum : 0.0F;
      }
    }
    if (active) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        if (t + n >= end) continue;
        const std::int64_t at = (batch * shape.S + t + n) * shape.I + channel;
        store_four(static_cast<T*>(p.c) + at, c[n]);
        store_four(static_cast<T*>(p.q) + at, block_times(p.q_weight + channel, shape.I, c[n]));
        store_four(static_cast<T*>(p.k) + at, block_times(p.k_weight + channel, shape.I, c[n]));
        store_four(static_cast<T*>(p.v) + at, block_times(p.v_weight + channel, shape.I, a[3 + n]));
      }
    }
    // Two buffers: one barrier a step keeps the reader of one apart from the writers of the other.
    float(&sums)[MaxThreads / kWarp][32] = gate_sums[t / 4 % 2];
    sum_each(gates, lane);
    sums[warp][lane] = gates[0];
    __syncthreads();
    const std::int64_t token = t + lane / kGates;
    if (warp == 0 && token < end) {
      const int gate = lane % kGates;
      float total = p.gate_bias[gate];
      for (int from = 0; from < warps; ++from) total += sums[from][lane];
      p.gates[((gate / 4 * shape.B + batch) * shape.S + token) * 4 + gate % 4] = total;
    }
#pragma unroll
    for (int n = 0; n < 3; ++n) a[n] = a[4 + n];
  }
}

}  // namespace axlstm::kernels
