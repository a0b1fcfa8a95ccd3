// What precedes the cell: c = SiLU(causal conv(a)), the block-diagonal q, k (of c) and v (of a), and the gates. A warp
// has 32 channels at a time and walks along time, 16 tokens a step; everything but the convolution is products of
// matrices.
#pragma once

#include "block_params.h"
#include "block_tile.cuh"
#include "block_vectors.cuh"

namespace axlstm::kernels {

constexpr int kInputSteps = 8;  // of a block
constexpr int kInputTokens = kInputSteps * kTileTokens;
constexpr int kInputWarps = 6;

/// Shared memory of block_input_kernel.
template <typename T>
class InputTiles {
 public:
  enum Tensor { kC, kQ, kK, kV, kTensors };
  static constexpr int kWarpBytes = 2 * kHaloTileBytes + kTensors * kTileBytes;
  static constexpr int kGateFloats = kInputTokens * kGates;  // of a warp
  static constexpr int kBytes = kInputWarps * (kWarpBytes + kGateFloats * static_cast<int>(sizeof(float)));

  __device__ explicit InputTiles(int warp) : warp_(warp) {}

  __device__ std::byte* a(int slot) const { return own() + slot * kHaloTileBytes; }
  __device__ std::byte* tile(int tensor) const { return own() + 2 * kHaloTileBytes + tensor * kTileBytes; }
  /// A warp's part of the gates, [step][gate][token].
  __device__ static float* gates(int warp) {
    return reinterpret_cast<float*>(dynamic_shared<std::byte>() + kInputWarps * kWarpBytes) + warp * kGateFloats;
  }

 private:
  __device__ std::byte* own() const { return dynamic_shared<std::byte>() + warp_ * kWarpBytes; }
  int warp_;
};

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

/// The lane's tokens (4 of 7) and the three before them, of 16 channels `half`, from a tile with a halo.
template <typename T>
__device__ inline void load_past(float2 (&a)[7], std::byte* tile, const TileLane& before, const TileLane& own,
                                 int half) {
#pragma unroll
  for (int n = 0; n < 3; ++n) a[n] = unpack<T>(before.pair(tile, n + 1, half));
#pragma unroll
  for (int n = 0; n < 4; ++n) a[n + 3] = unpack<T>(own.pair(tile, n, half));
}

/// The weights of a warp's 32 channels.
template <typename T>
struct InputWeights {
  LaneConv conv;
  std::uint32_t q[2][4], k[2][4], v[2][4], c_gates[2][4], a_gates[2][4];  // [half of the channels]

  __device__ InputWeights(const BlockInputParams& p, std::int64_t channel, int lane) : conv(p, channel, lane) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t first = channel + half * 16;
      load_diagonal<T, false>(q[half], p.q_weight, first, lane);
      load_diagonal<T, false>(k[half], p.k_weight, first, lane);
      load_diagonal<T, false>(v[half], p.v_weight, first, lane);
      load_gate_rows<T>(c_gates[half], p.c_weight, p.shape.I, first, lane);
      load_gate_rows<T>(a_gates[half], p.a_weight, p.shape.I, first, lane);
    }
  }
};

/// Four tokens of a lane's channels 2g, 2g + 1 of 16 channels `half`, as products leave them.
template <typename T>
__device__ inline void put_product(const TileLane& lane, std::byte* tile, const float (&x)[4], int product, int half) {
  lane.pair(tile, 2 * product, half) = pack<T>(x[0], x[2]);
  lane.pair(tile, 2 * product + 1, half) = pack<T>(x[1], x[3]);
}

/// One block: all channels of 128 tokens of a sequence; a warp takes every sixth 32 channels.
template <typename T>
__global__ void __launch_bounds__(kInputWarps* kWarp, 2) block_input_kernel(BlockInputParams p) {
  using Tiles = InputTiles<T>;
  const BlockShape& shape = p.shape;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t stretches = (shape.S + kInputTokens - 1) / kInputTokens;
  const std::int64_t sequence = blockIdx.x / stretches * shape.S;
  const int begin = static_cast<int>(blockIdx.x % stretches) * kInputTokens, S = static_cast<int>(shape.S);
  const int I = static_cast<int>(shape.I);
  const int steps = S - begin < kInputTokens ? (S - begin + kTileTokens - 1) / kTileTokens : kInputSteps;
  const int groups = static_cast<int>(shape.I / kTileChannels);
  const Tiles tiles(warp);
  const TileLane tile(lane), a_tile(lane, kHaloTokens), before_tile(lane);
  float4* const gates = reinterpret_cast<float4*>(Tiles::gates(warp)) + lane;  // of this lane, the next step's 32 later

  const auto start = [&](int slot, int group, int step) {
    const T* a = static_cast<const T*>(p.up) + sequence * 2 * shape.I + group * kTileChannels;
    copy_tokens<kTileTokens + kHaloTokens>(tiles.a(slot), a, 2 * I, begin + step * kTileTokens - kHaloTokens, S, lane);
    copy_async_commit();
  };
  int slot = 0;
  if (warp < groups) start(slot, warp, 0);
  for (int step = 0; step < kInputSteps; ++step) gates[step * kWarp] = {};
  for (int group = warp; group < groups; group += kInputWarps) {
    const InputWeights<T> weights(p, group * kTileChannels, lane);
    for (int step = 0; step < steps; ++step, slot = 1 - slot) {
      copy_async_wait<0>();
      __syncwarp();  // everybody's copies have come, and nobody reads the tiles of the step before any more
      if (step + 1 < steps) {
        start(1 - slot, group, step + 1);
      } else if (group + kInputWarps < groups) {
        start(1 - slot, group + kInputWarps, 0);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float2 a[7];
        load_past<T>(a, tiles.a(slot), before_tile, a_tile, half);
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          float2 c = weights.conv.at(a + n, half);
          c.x *= fast_sigmoid(c.x);
          c.y *= fast_sigmoid(c.y);
          tile.pair(tiles.tile(Tiles::kC), n, half) = pack<T>(c.x, c.y);
        }
      }
      __syncwarp();  // all of c is there
      float gate_sums[2][4] = {};
#pragma unroll
      for (int product = 0; product < 2; ++product) {
        std::uint32_t c[4], a[4];
        tile.template load_by_token<T>(c, tiles.tile(Tiles::kC), product);
        a_tile.template load_by_token<T>(a, tiles.a(slot), product);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float q[4] = {}, k[4] = {}, v[4] = {};
          multiply_add<T>(q, weights.q[half], c[2 * half], c[2 * half + 1]);
          multiply_add<T>(k, weights.k[half], c[2 * half], c[2 * half + 1]);
          multiply_add<T>(v, weights.v[half], a[2 * half], a[2 * half + 1]);
          multiply_add<T>(gate_sums[product], weights.c_gates[half], c[2 * half], c[2 * half + 1]);
          multiply_add<T>(gate_sums[product], weights.a_gates[half], a[2 * half], a[2 * half + 1]);
          put_product<T>(tile, tiles.tile(Tiles::kQ), q, product, half);
          put_product<T>(tile, tiles.tile(Tiles::kK), k, product, half);
          put_product<T>(tile, tiles.tile(Tiles::kV), v, product, half);
        }
      }
      float4& of_step = gates[step * kWarp];  // gate lane / 4 of tokens lane % 4 · 4 …
      of_step.x += gate_sums[0][0] + gate_sums[0][2];
      of_step.y += gate_sums[0][1] + gate_sums[0][3];
      of_step.z += gate_sums[1][0] + gate_sums[1][2];
      of_step.w += gate_sums[1][1] + gate_sums[1][3];
      __syncwarp();  // all of q, k and v is there
      void* const outputs[Tiles::kTensors] = {p.c, p.q, p.k, p.v};
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int row = n * 8 + lane / 4, piece = lane % 4, token = begin + step * kTileTokens + row;
        if (token >= S) continue;
        const std::int64_t to = (sequence + token) * shape.I + group * kTileChannels + piece * 8;
#pragma unroll
        for (int tensor = 0; tensor < Tiles::kTensors; ++tensor) {
          *reinterpret_cast<uint4*>(static_cast<T*>(outputs[tensor]) + to) =
              *reinterpret_cast<const uint4*>(tiles.tile(tensor) + piece_at(row, piece));
        }
      }
    }
  }
  __syncthreads();  // all warps' parts of the gates are there
  for (int index = static_cast<int>(threadIdx.x); index < kInputTokens * kGates; index += kInputWarps * kWarp) {
    const int head = index % 4, row = index / 4 % kInputTokens, which = index / (4 * kInputTokens),
              gate = which * 4 + head;
    if (begin + row >= S) continue;
    const int at = (row / kTileTokens * kGates + gate) * kTileTokens + row % kTileTokens;
    float sum = (which == 0 ? p.i_bias : p.f_bias)[head];
#pragma unroll
    for (int from = 0; from < kInputWarps; ++from) sum += Tiles::gates(from)[at];
    p.gates[((which * shape.B * shape.S) + sequence + begin + row) * 4 + head] = sum;
  }
}

}  // namespace axlstm::kernels
