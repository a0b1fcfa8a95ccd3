// What precedes the cell: c = SiLU(causal conv(a)), the block-diagonal q, k (of c) and v (of a), and the gates. A warp
// has 32 channels at a time and walks along time, 16 tokens a step; everything but the convolution is products of
// matrices.
#pragma once

#include "block_tile.cuh"
#include "block_vectors.cuh"

namespace axlstm::kernels {

/// The convolution of a lane's channels, e = 2 · half of the channels + pair's element.
struct LaneConv {
  float taps[4][kConvTaps], bias[4];

  __device__ LaneConv(const BlockInputParams& p, std::int64_t channel, int lane) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const std::int64_t own = channel + e / 2 * 16 + lane / 4 * 2 + e % 2;
      const Four of_channel = load_floats(p.conv_weight + own * kConvTaps);
#pragma unroll
      for (int k = 0; k < kConvTaps; ++k) taps[e][k] = of_channel.v[k];
      bias[e] = p.conv_bias[own];
    }
  }
  /// Where `a` are the token's and the three before it, the earliest first.
  __device__ float2 at(const float2* a, int half) const {
    float2 x = {bias[2 * half], bias[2 * half + 1]};
#pragma unroll
    for (int k = 0; k < kConvTaps; ++k) {
      x.x += taps[2 * half][k] * a[k].x;
      x.y += taps[2 * half + 1][k] * a[k].y;
    }
    return x;
  }
};

/// a[0..2]: the three tokens before the lane's; a[3..6]: its four; of 16 channels `half`. `before` is a lane of a tile
/// without halo, so in a tile with a halo of four tokens it addresses four tokens earlier.
template <typename T>
__device__ inline void load_past(float2 (&a)[7], std::byte* tile, const TileLane& before, const TileLane& own,
                                 int half) {
#pragma unroll
  for (int n = 0; n < 3; ++n) a[n] = unpack<T>(before.pair(tile, n + 1, half));
#pragma unroll
  for (int n = 0; n < 4; ++n) a[n + 3] = unpack<T>(own.pair(tile, n, half));
}

/// The weights of a warp's 32 channels; kProjects: with those of q, k and v.
template <typename T, bool kProjects>
struct InputWeights {
  LaneConv conv;
  std::uint32_t q[2][4], k[2][4], v[2][4], c_gates[2][4], a_gates[2][4];  // [half of the channels]

  __device__ InputWeights(const BlockInputParams& p, std::int64_t channel, int lane) : conv(p, channel, lane) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t first = channel + half * 16;
      if constexpr (kProjects) {
        load_diagonal<T, false>(q[half], p.q_weight, first, lane);
        load_diagonal<T, false>(k[half], p.k_weight, first, lane);
        load_diagonal<T, false>(v[half], p.v_weight, first, lane);
      }
      load_gate_rows<T>(c_gates[half], p.c_weight, p.shape.I, first, lane);
      load_gate_rows<T>(a_gates[half], p.a_weight, p.shape.I, first, lane);
    }
  }
};

/// A warp's step: its tiles in shared memory and what is done with them.
template <typename T, bool kProjects>
class ForwardStep {
 public:
  __device__ ForwardStep(const BlockInputParams& params, std::int64_t sequence, int warp, int lane)
      : p_(params),
        sequence_(sequence),
        S_(static_cast<int>(params.shape.S)),
        I_(static_cast<int>(params.shape.I)),
        lane_(lane),
        own_(lane),
        own_a_(lane, kHaloTokens),
        shared_(dynamic_shared<std::byte>() + warp * kInputWarpBytes) {}

  /// Starts copying a of tokens t … t + 15, and of those before it that the convolution reaches.
  __device__ void start(int slot, int channel, int t) const {
    const T* a_first = static_cast<const T*>(p_.up) + sequence_ * 2 * I_ + channel;
    copy_tokens<kTileTokens + kHaloTokens>(a(slot), a_first, 2 * I_, t - kHaloTokens, S_, lane_);
    copy_async_commit();
  }

  __device__ void convolve(int slot, const LaneConv& conv) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float2 past[7];
      load_past<T>(past, a(slot), own_, own_a_, half);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        float2 c = conv.at(past + n, half);
        c.x *= fast_sigmoid(c.x);
        c.y *= fast_sigmoid(c.y);
        own_.pair(tile(kC), n, half) = pack<T>(c.x, c.y);
      }
    }
  }

  /// q, k and v, if they are wanted; returns what these channels add to gate lane / 4 of the lane's four tokens.
  __device__ float4 multiply(int slot, const InputWeights<T, kProjects>& weights) const {
    float gates[2][4] = {};
#pragma unroll
    for (int product = 0; product < 2; ++product) {
      std::uint32_t of_c[4], of_a[4];
      own_.template load_by_token<T>(of_c, tile(kC), product);
      own_a_.template load_by_token<T>(of_a, a(slot), product);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        multiply_add<T>(gates[product], weights.c_gates[half], of_c[2 * half], of_c[2 * half + 1]);
        multiply_add<T>(gates[product], weights.a_gates[half], of_a[2 * half], of_a[2 * half + 1]);
        if constexpr (!kProjects) continue;
        float q[4] = {}, k[4] = {}, v[4] = {};
        multiply_add<T>(q, weights.q[half], of_c[2 * half], of_c[2 * half + 1]);
        multiply_add<T>(k, weights.k[half], of_c[2 * half], of_c[2 * half + 1]);
        multiply_add<T>(v, weights.v[half], of_a[2 * half], of_a[2 * half + 1]);
        put(kQ, q, product, half);
        put(kK, k, product, half);
        put(kV, v, product, half);
      }
    }
    // High and low parts of the weights.
    return {gates[0][0] + gates[0][2], gates[0][1] + gates[0][3], gates[1][0] + gates[1][2], gates[1][1] + gates[1][3]};
  }

  /// Writes c and, if they are wanted, q, k and v of tokens t … t + 15.
  __device__ void store(int channel, int t) const {
    void* const outputs[] = {p_.c, p_.q, p_.k, p_.v};
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int row = n * 8 + lane_ / 4, piece = lane_ % 4, token = t + row;
      if (token >= S_) continue;
      const std::int64_t to = (sequence_ + token) * I_ + channel + piece * 8;
#pragma unroll
      for (int tensor = 0; tensor < (kProjects ? 4 : 1); ++tensor) {
        *reinterpret_cast<uint4*>(static_cast<T*>(outputs[tensor]) + to) =
            *reinterpret_cast<const uint4*>(tile(tensor) + piece_at(row, piece));
      }
    }
  }

 private:
  enum Tensor { kC, kQ, kK, kV };

  __device__ std::byte* a(int slot) const { return shared_ + slot * kHaloTileBytes; }
  __device__ std::byte* tile(int tensor) const { return shared_ + 2 * kHaloTileBytes + tensor * kTileBytes; }
  /// Four tokens of channels 2g, 2g + 1 of 16 channels `half`, as products leave them.
  __device__ void put(int tensor, const float (&x)[4], int product, int half) const {
    own_.pair(tile(tensor), 2 * product, half) = pack<T>(x[0], x[2]);
    own_.pair(tile(tensor), 2 * product + 1, half) = pack<T>(x[1], x[3]);
  }

  const BlockInputParams& p_;
  std::int64_t sequence_;
  int S_, I_, lane_;
  TileLane own_, own_a_;
  std::byte* shared_;
};

/// The warps' parts of a thread block's gates, [warp][step][gate][token], behind their tiles.
template <typename T>
class GateParts {
 public:
  /// Of a step, four tokens of one gate.
  __device__ static float4& of_lane(int warp, int step, int lane) {
    return reinterpret_cast<float4*>(first() + warp * kInputGateFloats)[step * kWarp + lane];
  }
  __device__ static float sum(int gate, int token) {
    const int at = (token / kTileTokens * kGates + gate) * kTileTokens + token % kTileTokens;
    float sum = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kInputWarps; ++warp) sum += first()[warp * kInputGateFloats + at];
    return sum;
  }

 private:
  __device__ static float* first() {
    return reinterpret_cast<float*>(dynamic_shared<std::byte>() + kInputWarps * kInputWarpBytes);
  }
};

/// A thread block has all channels of 128 tokens of a sequence, a warp every sixth 32 channels. kProjects: with q, k,
/// v.
template <typename T, bool kProjects>
__global__ void __launch_bounds__(kInputWarps* kWarp, kProjects ? 2 : 3) block_input_kernel(BlockInputParams p) {
  const BlockShape& shape = p.shape;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t stretches = (shape.S + kInputTokens - 1) / kInputTokens;
  const std::int64_t sequence = blockIdx.x / stretches * shape.S;
  const int begin = static_cast<int>(blockIdx.x % stretches) * kInputTokens;
  const int left = static_cast<int>(shape.S) - begin, I = static_cast<int>(shape.I);
  const int tokens = left < kInputTokens ? left : kInputTokens, steps = (tokens + kTileTokens - 1) / kTileTokens;
  const ForwardStep<T, kProjects> tiles(p, sequence, warp, lane);

  for (int step = 0; step < kInputSteps; ++step) GateParts<T>::of_lane(warp, step, lane) = {};
  constexpr int kStride = kInputWarps * kTileChannels;
  int slot = 0;
  if (warp * kTileChannels < I) tiles.start(slot, warp * kTileChannels, begin);
  for (int channel = warp * kTileChannels; channel < I; channel += kStride) {
    const InputWeights<T, kProjects> weights(p, channel, lane);
    for (int step = 0; step < steps; ++step, slot = 1 - slot) {
      copy_async_wait<0>();
      __syncwarp();  // everybody's copies have come, and nobody reads the tiles of the step before any more
      if (step + 1 < steps) {
        tiles.start(1 - slot, channel, begin + (step + 1) * kTileTokens);
      } else if (channel + kStride < I) {
        tiles.start(1 - slot, channel + kStride, begin);
      }
      tiles.convolve(slot, weights.conv);
      __syncwarp();  // all of c is there
      const float4 more = tiles.multiply(slot, weights);
      float4& gates = GateParts<T>::of_lane(warp, step, lane);
      gates = {gates.x + more.x, gates.y + more.y, gates.z + more.z, gates.w + more.w};
      __syncwarp();  // all of q, k and v is there
      tiles.store(channel, begin + step * kTileTokens);
    }
  }
  __syncthreads();  // all warps' parts of the gates are there
  for (int index = static_cast<int>(threadIdx.x); index < tokens * kGates; index += kInputWarps * kWarp) {
    const int head = index % 4, token = index / 4 % tokens, which = index / (4 * tokens);  // i or f
    const float bias = (which == 0 ? p.i_bias : p.f_bias)[head];
    p.gates[(which * shape.B * shape.S + sequence + begin + token) * 4 + head] =
        bias + GateParts<T>::sum(which * 4 + head, token);
  }
}

}  // namespace axlstm::kernels
