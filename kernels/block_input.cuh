// What precedes the cell: c = SiLU(causal conv(a)), the block-diagonal q, k (of c) and v (of a), and the gates. A
// thread has four channels, one block of the projections, and walks along time.
#pragma once

#include "block_params.h"
#include "block_vectors.cuh"

namespace axlstm::kernels {

constexpr int kInputTokens = 64;           // of one block of the forward kernel
constexpr int kInputBackwardTokens = 256;  // of one stretch of the backward kernel

/// y = W x for one 4×4 block W of [out][in].
__device__ inline Four block_times(const float* weight, const Four& x) {
  Four y;
#pragma unroll
  for (int out = 0; out < 4; ++out) {
    const Four w = load_floats(weight + 4 * out);
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
    return active && t >= 0 && t < shape.S ? load_four(a_row + t * 2 * shape.I) : Four{};
  };
  const Taps conv(p, channel);
  Four a[7] = {load_a(begin - 3), load_a(begin - 2), load_a(begin - 1)};  // the step's four tokens and three before
  for (std::int64_t t = begin; t < end; t += 4) {
#pragma unroll
    for (int n = 0; n < 4; ++n) a[3 + n] = load_a(t + n);
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
        store_four(static_cast<T*>(p.q) + at, block_times(p.q_weight + 4 * channel, c[n]));
        store_four(static_cast<T*>(p.k) + at, block_times(p.k_weight + 4 * channel, c[n]));
        store_four(static_cast<T*>(p.v) + at, block_times(p.v_weight + 4 * channel, a[3 + n]));
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

/// x += scale · y
__device__ inline void add_scaled(Four& x, float scale, const Four& y) {
#pragma unroll
  for (int e = 0; e < 4; ++e) x.v[e] += scale * y.v[e];
}

/// x += Wᵀ y for one 4×4 block W of [out][in].
__device__ inline void add_transposed(Four& x, const float* weight, const Four& y) {
#pragma unroll
  for (int out = 0; out < 4; ++out) add_scaled(x, y.v[out], load_floats(weight + 4 * out));
}

/// sum[out][in] += y[out] x[in]
__device__ inline void add_outer(Four (&sum)[4], const Four& y, const Four& x) {
#pragma unroll
  for (int out = 0; out < 4; ++out) add_scaled(sum[out], y.v[out], x);
}

/// The gradient of a, and the sums over tokens for the weights. A thread walks back in time, since a token's a reaches
/// the next three tokens' convolutions; blockIdx.x picks the channels, blockIdx.y takes every gridDim.y-th stretch.
template <typename T>
__global__ void __launch_bounds__(192) block_input_backward_kernel(BlockInputBackwardParams b) {
  const BlockInputParams& p = b.forward;
  const BlockShape& shape = p.shape;
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (4 * block >= shape.I) return;
  const int channel = static_cast<int>(4 * block), head = static_cast<int>(channel / (shape.I / shape.NH));
  const Taps conv(p, channel);
  const Four skip = load_floats(b.skip + channel);
  Four dtaps[4] = {}, dbias{}, dskip{}, dnorm{}, dq_weight[4] = {}, dk_weight[4] = {}, dv_weight[4] = {};

  const std::int64_t stretches = (shape.S + kInputBackwardTokens - 1) / kInputBackwardTokens;
  for (std::int64_t item = blockIdx.y; item < shape.B * stretches; item += gridDim.y) {
    const std::int64_t batch = item / stretches, begin = item % stretches * kInputBackwardTokens;
    const std::int64_t end = begin + kInputBackwardTokens < shape.S ? begin + kInputBackwardTokens : shape.S;
    const std::int64_t last = end + 3 < shape.S ? end + 2 : shape.S - 1;  // the next stretch's first three: only dx
    const T* a_row = static_cast<const T*>(p.up) + batch * shape.S * 2 * shape.I + channel;
    const auto load_a = [&](std::int64_t t) { return t >= 0 ? load_four(a_row + t * 2 * shape.I) : Four{}; };
    Four a[4] = {load_a(last - 3), load_a(last - 2), load_a(last - 1), load_a(last)};  // tokens t − 3 … t
    Four dx[4] = {};  // of the convolution, at t … t + 3
    for (std::int64_t t = last; t >= begin; --t) {
      const std::int64_t token = batch * shape.S + t, at = token * shape.I + channel;
      const Four next_a = load_a(t - 4);
      const Four dq = load_four(static_cast<const T*>(b.dq) + at), dk = load_four(static_cast<const T*>(b.dk) + at);
      const Four dmix = load_four(static_cast<const T*>(b.dmix) + at);
      const Four di = load_floats(b.dgates + token * 4), df = load_floats(b.dgates + (shape.B * shape.S + token) * 4);
      const Four x = conv.at(a[0], a[1], a[2], a[3]);
      Four c, dc;
#pragma unroll
      for (int e = 0; e < 4; ++e) dc.v[e] = skip.v[e] * dmix.v[e];
      add_transposed(dc, p.q_weight + 4 * channel, dq);
      add_transposed(dc, p.k_weight + 4 * channel, dk);
#pragma unroll
      for (int gate = 0; gate < 4; ++gate) {
        add_scaled(dc, di.v[gate], load_floats(p.c_weight + gate * shape.I + channel));
        add_scaled(dc, df.v[gate], load_floats(p.c_weight + (4 + gate) * shape.I + channel));
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float sigmoid_x = fast_sigmoid(x.v[e]);
        c.v[e] = x.v[e] * sigmoid_x;
        dx[0].v[e] = dc.v[e] * sigmoid_x * (1.0F + x.v[e] - c.v[e]);
      }
      if (t < end) {
        const Four dv = load_four(static_cast<const T*>(b.dv) + at), h = load_four(static_cast<const T*>(b.h) + at);
        const float2 norm = b.h_norm[token * shape.NH + head];
        Four da{};
        add_transposed(da, p.v_weight + 4 * channel, dv);
#pragma unroll
        for (int gate = 0; gate < 4; ++gate) {
          add_scaled(da, di.v[gate], load_floats(p.a_weight + gate * shape.I + channel));
          add_scaled(da, df.v[gate], load_floats(p.a_weight + (4 + gate) * shape.I + channel));
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
#pragma unroll
          for (int k = 0; k < kConvTaps; ++k) {
            da.v[e] += conv.taps[e].v[k] * dx[3 - k].v[e];
            dtaps[e].v[k] += dx[0].v[e] * a[k].v[e];
          }
          dbias.v[e] += dx[0].v[e];
          dskip.v[e] += dmix.v[e] * c.v[e];
          dnorm.v[e] += dmix.v[e] * (h.v[e] - norm.x) * norm.y;
        }
        add_outer(dq_weight, dq, c);
        add_outer(dk_weight, dk, c);
        add_outer(dv_weight, dv, a[3]);
        store_four(static_cast<T*>(b.dup) + token * 2 * shape.I + channel, da);
      }
      a[3] = a[2];
      a[2] = a[1];
      a[1] = a[0];
      a[0] = next_a;
      dx[3] = dx[2];
      dx[2] = dx[1];
      dx[1] = dx[0];
    }
  }

  const std::int64_t blocks = shape.I / kBlockChannels;
  float* out = b.parts + static_cast<std::int64_t>(blockIdx.y) * kBlockInputRows * blocks + block;
  const auto store = [&](int first_row, const Four& values) {
#pragma unroll
    for (int e = 0; e < 4; ++e) out[(first_row + e) * blocks] = values.v[e];
  };
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    store(kConvRows + 4 * e, dtaps[e]);
    store(kQRows + 4 * e, dq_weight[e]);
    store(kQRows + 16 + 4 * e, dk_weight[e]);
    store(kQRows + 32 + 4 * e, dv_weight[e]);
  }
  store(kConvBiasRows, dbias);
  store(kSkipRows, dskip);
  store(kNormRows, dnorm);
}

/// The gradient of the folded gate weights: Σ over tokens of dgate · c and dgate · a.
template <typename T>
__global__ void __launch_bounds__(192) gate_weight_kernel(GateWeightParams p) {
  const BlockShape& shape = p.shape;
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (4 * block >= shape.I) return;
  const std::int64_t channel = 4 * block, tokens = shape.B * shape.S;
  const std::int64_t share = (tokens + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * share;
  const std::int64_t end = begin + share < tokens ? begin + share : tokens;
  Four of_c[kGates] = {}, of_a[kGates] = {};
#pragma unroll 4
  for (std::int64_t token = begin; token < end; ++token) {
    const Four c = load_four(static_cast<const T*>(p.c) + token * shape.I + channel);
    const Four a = load_four(static_cast<const T*>(p.up) + token * 2 * shape.I + channel);
    const Four di = load_floats(p.dgates + token * 4), df = load_floats(p.dgates + (tokens + token) * 4);
#pragma unroll
    for (int gate = 0; gate < 4; ++gate) {
      add_scaled(of_c[gate], di.v[gate], c);
      add_scaled(of_c[4 + gate], df.v[gate], c);
      add_scaled(of_a[gate], di.v[gate], a);
      add_scaled(of_a[4 + gate], df.v[gate], a);
    }
  }
  const std::int64_t blocks = shape.I / kBlockChannels;
  float* out = p.parts + static_cast<std::int64_t>(blockIdx.y) * kGateRows * blocks + block;
#pragma unroll
  for (int gate = 0; gate < kGates; ++gate) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      out[(gate * 4 + e) * blocks] = of_c[gate].v[e];
      out[((kGates + gate) * 4 + e) * blocks] = of_a[gate].v[e];
    }
  }
}

}  // namespace axlstm::kernels
