// What precedes the cell: c = SiLU(causal conv(a)), the block-diagonal q, k (of c) and v (of a), and the gates. A
// thread has four channels, one block of the projections, and walks along time.
#pragma once

#include "block_params.h"
#include "block_vectors.cuh"

namespace axlstm::kernels {

constexpr int kInputTokens = 64;           // of one block of the forward kernel
constexpr int kInputBackwardTokens = 256;  // of one stretch of the backward kernel
constexpr int kChannelThreads = 128;       // of a block of the backward kernels

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

/// x += scale · y
__device__ inline void add_scaled(Four& x, float scale, const Four& y) {
#pragma unroll
  for (int e = 0; e < 4; ++e) x.v[e] += scale * y.v[e];
}

/// sum[out][in] += y[out] x[in]
__device__ inline void add_outer(Four (&sum)[4], const Four& y, const Four& x) {
#pragma unroll
  for (int out = 0; out < 4; ++out) add_scaled(sum[out], y.v[out], x);
}

/// What a thread of the backward kernel reads for a step: four tokens each of six tensors, copied to shared memory
/// while the step before is computed.
template <typename T>
class InputStep {
 public:
  enum Tensor { kA, kDq, kDk, kDmix, kDv, kH, kTensors };
  static constexpr int kValues = 4 * kTensors;
  static constexpr int kBytes = 2 * kValues * kChannelThreads * static_cast<int>(sizeof(uint2));

  __device__ explicit InputStep(uint2* shared) : own_(shared + threadIdx.x) {}
  __device__ void start(int slot, Tensor tensor, int n, const T* from, bool inside) {
    copy_async_8(&at(slot, tensor, n), from, inside);
  }
  __device__ uint2 packed(int slot, Tensor tensor, int n) const { return at(slot, tensor, n); }
  __device__ Four get(int slot, Tensor tensor, int n) const { return unpack_four<T>(at(slot, tensor, n)); }

 private:
  __device__ uint2& at(int slot, Tensor tensor, int n) const {
    return own_[(slot * kValues + 4 * tensor + n) * kChannelThreads];
  }
  uint2* own_;
};

/// x[n] += Wᵀ y[n] for a step of tensor y and one 4×4 block W of [4 (out), blocks, 4 (in)].
template <typename T>
__device__ inline void add_transposed(Four (&x)[4], const float* weight, std::int64_t channels,
                                      const InputStep<T>& step, int slot, typename InputStep<T>::Tensor y) {
  Four of[4];
#pragma unroll
  for (int n = 0; n < 4; ++n) of[n] = step.get(slot, y, n);
#pragma unroll
  for (int out = 0; out < 4; ++out) {
    const Four w = load_floats(weight + out * channels);
#pragma unroll
    for (int n = 0; n < 4; ++n) add_scaled(x[n], of[n].v[out], w);
  }
}

/// x[n] += Σ_gate dgate[n] · weight for four tokens; `dgates` are i's, `tokens` further f's.
__device__ inline void add_gates(Four (&x)[4], const float* weight, std::int64_t channels, const float* dgates,
                                 std::int64_t tokens, int count) {
#pragma unroll
  for (int kind = 0; kind < 2; ++kind) {
    Four of_token[4];
#pragma unroll
    for (int n = 0; n < 4; ++n) of_token[n] = n < count ? load_floats(dgates + kind * 4 * tokens + 4 * n) : Four{};
#pragma unroll
    for (int gate = 0; gate < 4; ++gate) {
      const Four w = load_floats(weight + (4 * kind + gate) * channels);
#pragma unroll
      for (int n = 0; n < 4; ++n) add_scaled(x[n], of_token[n].v[gate], w);
    }
  }
}

/// The gradient of a, and the sums over tokens for the weights. Threads are numbered over [part_count, I/4]; those of
/// one part take every part_count-th stretch of tokens. A thread walks back in time, four tokens a step, since a
/// token's a reaches the next three tokens' convolutions.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads) block_input_backward_kernel(BlockInputBackwardParams b) {
  const BlockInputParams& p = b.forward;
  const BlockShape& shape = p.shape;
  const std::int64_t blocks = shape.I / kBlockChannels, tokens = shape.B * shape.S;
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kChannelThreads + threadIdx.x;
  const std::int64_t block = index % blocks, part = index / blocks;
  if (part >= b.part_count) return;
  const int channel = static_cast<int>(4 * block), head = static_cast<int>(channel / (shape.I / shape.NH));
  const Taps conv(p, channel);
  const Four skip = load_floats(b.skip + channel);
  Four dtaps[4] = {}, dbias{}, dskip{}, dnorm{}, dq_weight[4] = {}, dk_weight[4] = {}, dv_weight[4] = {};
  using Step = InputStep<T>;
  Step step(dynamic_shared<uint2>());

  const std::int64_t stretches = (shape.S + kInputBackwardTokens - 1) / kInputBackwardTokens;
  for (std::int64_t item = part; item < shape.B * stretches; item += b.part_count) {
    const std::int64_t first_token = item / stretches * shape.S;  // of the sequence
    const std::int64_t begin = item % stretches * kInputBackwardTokens;
    const std::int64_t end = begin + kInputBackwardTokens < shape.S ? begin + kInputBackwardTokens : shape.S;
    const T* a_row = static_cast<const T*>(p.up) + first_token * 2 * shape.I + channel;
    const auto load_a = [&](std::int64_t t) {
      return t >= 0 && t < shape.S ? load_packed(a_row + t * 2 * shape.I) : uint2{};
    };
    const auto start_step = [&](int slot, std::int64_t t) {
      const auto start = [&](typename Step::Tensor tensor, const void* from) {
        const T* row = static_cast<const T*>(from) + (first_token + t) * shape.I + channel;
#pragma unroll
        for (int n = 0; n < 4; ++n)
          step.start(slot, tensor, n, t + n < shape.S ? row + n * shape.I : row, t + n < shape.S);
      };
#pragma unroll
      for (int n = 0; n < 4; ++n) {  // tokens t − 3 … t
        const bool inside = t - 3 + n >= 0 && t - 3 + n < shape.S;
        step.start(slot, Step::kA, n, inside ? a_row + (t - 3 + n) * 2 * shape.I : a_row, inside);
      }
      start(Step::kDq, b.dq);
      start(Step::kDk, b.dk);
      start(Step::kDmix, b.dmix);
      start(Step::kDv, b.dv);
      start(Step::kH, b.h);
      copy_async_commit();
    };
    // The last step; where another stretch follows, that one's first, for dx alone.
    std::int64_t t = begin + (end - begin - 1) / 4 * 4 + (end < shape.S ? 4 : 0);
    uint2 a[7];  // tokens t − 3 … t + 3
#pragma unroll
    for (int n = 0; n < 3; ++n) a[n] = load_a(t + 1 + n);
    Four dx[7] = {};  // of the convolution, at t … t + 6
    int slot = 0;
    start_step(slot, t);
    for (; t >= begin; t -= 4, slot = 1 - slot) {
      if (t > begin) {
        start_step(1 - slot, t - 4);
        copy_async_wait<1>();
      } else {
        copy_async_wait<0>();
      }
      const int count = static_cast<int>(shape.S - t < 4 ? shape.S - t : 4);
#pragma unroll
      for (int n = 0; n < 3; ++n) a[4 + n] = a[n];
#pragma unroll
      for (int n = 0; n < 4; ++n) a[n] = step.packed(slot, Step::kA, n);
      const float* dgates = b.dgates + (first_token + t) * 4;
      Four dc[4], c[4];
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const Four mix = step.get(slot, Step::kDmix, n);
#pragma unroll
        for (int e = 0; e < 4; ++e) dc[n].v[e] = skip.v[e] * mix.v[e];
      }
      add_transposed<T>(dc, p.q_weight + channel, shape.I, step, slot, Step::kDq);
      add_transposed<T>(dc, p.k_weight + channel, shape.I, step, slot, Step::kDk);
      add_gates(dc, p.c_weight + channel, shape.I, dgates, tokens, count);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const Four x =
            conv.at(unpack_four<T>(a[n]), unpack_four<T>(a[n + 1]), unpack_four<T>(a[n + 2]), unpack_four<T>(a[n + 3]));
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float sigmoid_x = fast_sigmoid(x.v[e]);
          c[n].v[e] = x.v[e] * sigmoid_x;
          dx[n].v[e] = dc[n].v[e] * sigmoid_x * (1.0F + x.v[e] - c[n].v[e]);
        }
      }
      if (t < end) {
        Four da[4];
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          const Four mix = step.get(slot, Step::kDmix, n), of_h = step.get(slot, Step::kH, n);
          const float2 norm = n < count ? b.h_norm[(first_token + t + n) * shape.NH + head] : float2{};
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            da[n].v[e] = 0.0F;
#pragma unroll
            for (int k = 0; k < kConvTaps; ++k) da[n].v[e] += conv.taps[e].v[k] * dx[n + 3 - k].v[e];
            dbias.v[e] += dx[n].v[e];
            dskip.v[e] += mix.v[e] * c[n].v[e];
            dnorm.v[e] += mix.v[e] * (of_h.v[e] - norm.x) * norm.y;
          }
#pragma unroll
          for (int k = 0; k < kConvTaps; ++k) {
            const Four of_a = unpack_four<T>(a[n + k]);
#pragma unroll
            for (int e = 0; e < 4; ++e) dtaps[e].v[k] += dx[n].v[e] * of_a.v[e];
          }
          add_outer(dq_weight, step.get(slot, Step::kDq, n), c[n]);
          add_outer(dk_weight, step.get(slot, Step::kDk, n), c[n]);
          add_outer(dv_weight, step.get(slot, Step::kDv, n), unpack_four<T>(a[n + 3]));
        }
        add_transposed<T>(da, p.v_weight + channel, shape.I, step, slot, Step::kDv);
        add_gates(da, p.a_weight + channel, shape.I, dgates, tokens, count);
        T* da_row = static_cast<T*>(b.dup) + (first_token + t) * 2 * shape.I + channel;
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          if (n < count) store_four(da_row + n * 2 * shape.I, da[n]);
        }
      }
#pragma unroll
      for (int n = 0; n < 3; ++n) dx[4 + n] = dx[n];
    }
  }

  float* out = b.parts + part * kBlockInputRows * blocks + block;
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

/// The gradient of the folded gate weights: Σ over tokens of dgate · c and dgate · a. Threads as above; a part is a run
/// of tokens.
template <typename T>
__global__ void __launch_bounds__(kChannelThreads) gate_weight_kernel(GateWeightParams p) {
  const BlockShape& shape = p.shape;
  const std::int64_t blocks = shape.I / kBlockChannels, tokens = shape.B * shape.S;
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kChannelThreads + threadIdx.x;
  const std::int64_t block = index % blocks, part = index / blocks, channel = 4 * block;
  if (part >= p.part_count) return;
  const std::int64_t share = (tokens + p.part_count - 1) / p.part_count, begin = part * share;
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
  float* out = p.parts + part * kGateRows * blocks + block;
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
