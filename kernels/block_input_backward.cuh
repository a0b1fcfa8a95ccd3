// The way back through what precedes the cell: gradients of a and of all weights in one pass. A warp has 32 channels
// and walks back in time, 16 tokens a step; everything but the convolution is products of matrices.
#pragma once

#include "block_input.cuh"

namespace axlstm::kernels {

/// What a warp has in shared memory: a step's tensors, copied while the step before is computed, and c.
template <typename T>
class InputStep {
 public:
  enum Tensor { kDq, kDk, kDv, kDmix, kH, kTensors };
  static_assert(kTensors == kStepTensors);

  __device__ InputStep(const BlockInputBackwardParams& params, std::int64_t channel, int lane)
      : b_(params),
        channel_(channel),
        head_(
            static_cast<int>((channel + lane / kTileTokens * 16) / (params.forward.shape.I / params.forward.shape.NH))),
        lane_(lane),
        shared_(dynamic_shared<std::byte>() + threadIdx.x / kWarp * kInputBackwardWarpBytes) {}

  /// Starts copying tokens t … t + 15 of the sequence that begins at token `sequence`; zeros outside it.
  __device__ void start(int slot, std::int64_t sequence, int t) {
    const BlockShape& shape = b_.forward.shape;
    const int S = static_cast<int>(shape.S), I = static_cast<int>(shape.I);
    const std::int64_t first = sequence * shape.I + channel_;
    const void* const tensors[kTensors] = {b_.dq, b_.dk, b_.dv, b_.dmix, b_.h};
#pragma unroll
    for (int tensor = 0; tensor < kTensors; ++tensor) {
      copy_tokens<kTileTokens>(tile(slot, tensor), static_cast<const T*>(tensors[tensor]) + first, I, t, S, lane_);
    }
    copy_tokens<kTileTokens + kHaloTokens>(a(slot),
                                           static_cast<const T*>(b_.forward.up) + sequence * 2 * shape.I + channel_,
                                           2 * I, t - kHaloTokens, S, lane_);
    const int row = lane_ % kTileTokens, half = lane_ / kTileTokens;
    const bool inside = t + row < S;
    const std::int64_t token = sequence + (inside ? t + row : 0);
    copy_async_16(gate_pairs(slot) + 2 * lane_, b_.dgates + (half * shape.B * shape.S + token) * 4, inside);
    copy_async_8(norms(slot) + lane_, b_.h_norm + token * shape.NH + head_, inside);
    copy_async_commit();
  }

  __device__ std::byte* tile(int slot, int tensor) const { return shared_ + slot * kStepBytes + tensor * kTileBytes; }
  __device__ std::byte* a(int slot) const { return tile(slot, kTensors); }
  /// [i or f][token][gates 0 and 1, 2 and 3]
  __device__ float2* gate_pairs(int slot) const { return reinterpret_cast<float2*>(a(slot) + kHaloTileBytes); }
  /// Mean and 1 / deviation of h's head, [half of the channels][token].
  __device__ float2* norms(int slot) const {
    return reinterpret_cast<float2*>(a(slot) + kHaloTileBytes + kStepGateBytes);
  }
  __device__ std::byte* c() const { return shared_ + 2 * kStepBytes; }

 private:
  const BlockInputBackwardParams& b_;
  std::int64_t channel_;
  int head_;  // of the lane's half of the channels
  int lane_;
  std::byte* shared_;
};

/// The gradients of the gates of a step's tokens as fragments, each the sum of a high and a low part.
template <typename T>
struct GateGradients {
  std::uint32_t high[2], low[2];            // b: gates (k) × tokens of a product
  std::uint32_t high_rows[2], low_rows[2];  // half of a: gates (rows) × tokens of a product (k)

  __device__ GateGradients(const float2* pairs, int lane) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = lane / 8 * 4 + lane / 4 % 2 + 2 * half;
      split_pair<T>(high[half], low[half], pairs[(lane % 4 / 2 * kTileTokens + token) * 2 + lane % 2]);
      high_rows[half] = transpose_matrix(high[half]);
      low_rows[half] = transpose_matrix(low[half]);
    }
  }
};

/// What a warp adds up over its tokens for the weights of its channels.
struct InputSums {
  // Of the lane's channels e = 2 · half + pair's element.
  float taps[4][kConvTaps] = {}, bias[4] = {}, skip[4] = {}, norm[4] = {};
  // Of the products with 8 channels of c or a each: dq and dk with c, dv and the gates with a, the gates with c.
  float qk[4][4] = {}, v_gates[4][4] = {}, c_gates[4][4] = {};

  /// Adds a step's products. `gates` of tokens, dq … of tiles.
  template <typename T>
  __device__ void add_products(const InputStep<T>& step, int slot, const GateGradients<T>& gates, const TileLane& lane,
                               const TileLane& a_lane) {
    using Step = InputStep<T>;
#pragma unroll
    for (int piece = 0; piece < 4; piece += 2) {
      std::uint32_t c[4], a[4], dq[4], dk[4], dv[4];
      lane.load_by_channel(c, step.c(), piece);
      lane.load_by_channel(dq, step.tile(slot, Step::kDq), piece);
      lane.load_by_channel(dk, step.tile(slot, Step::kDk), piece);
      lane.load_by_channel(dv, step.tile(slot, Step::kDv), piece);
      a_lane.load_by_channel(a, step.a(slot), piece);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int at = piece + n;
        multiply_add<T>(qk[at], {dq[2 * n], dk[2 * n], dq[2 * n + 1], dk[2 * n + 1]}, c[2 * n], c[2 * n + 1]);
        multiply_add<T>(c_gates[at], {gates.high_rows[0], gates.low_rows[0], gates.high_rows[1], gates.low_rows[1]},
                        c[2 * n], c[2 * n + 1]);
        multiply_add<T>(v_gates[at], {dv[2 * n], gates.high_rows[0], dv[2 * n + 1], gates.high_rows[1]}, a[2 * n],
                        a[2 * n + 1]);
        multiply_add<T>(v_gates[at], {0, gates.low_rows[0], 0, gates.low_rows[1]}, a[2 * n], a[2 * n + 1]);
      }
    }
  }

  /// Writes all to a part [kInputRows, channels]; the warp's first channel is `first`.
  __device__ void store(float* part, std::int64_t channels, std::int64_t first, int lane) const {
    const auto row = [&](int number) { return part + number * channels + first; };
    const auto fours = [&](int number) { return part + number * channels + 4 * first; };  // four numbers a channel
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int channel = e / 2 * 16 + lane / 4 * 2 + e % 2;
      const auto put = [&](float* to, float x) {
        const float sum = sum_of_quad(x);
        if (lane % 4 == 0) *to = sum;
      };
#pragma unroll
      for (int k = 0; k < kConvTaps; ++k) put(fours(kConvRows) + channel * kConvTaps + k, taps[e][k]);
      put(row(kConvBiasRow) + channel, bias[e]);
      put(row(kSkipRow) + channel, skip[e]);
      put(row(kNormRow) + channel, norm[e]);
    }
    const int gate = lane / 4, out_channel = lane / 4 % 4;
    const bool same_block = lane / 16 == lane % 4 / 2;
#pragma unroll
    for (int piece = 0; piece < 4; ++piece) {
      const int channel = piece * 8 + lane % 4 * 2;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        if (same_block) {
          const int at = (channel / 4 * 4 + out_channel) * 4 + channel % 4 + e;
          fours(kQRows)[at] = qk[piece][e];
          fours(kKRows)[at] = qk[piece][2 + e];
          fours(kVRows)[at] = v_gates[piece][e];
        }
        row(kAGateRows + gate)[channel + e] = v_gates[piece][2 + e];
        row(kCGateRows + gate)[channel + e] = c_gates[piece][e] + c_gates[piece][2 + e];
      }
    }
  }
};

/// Warps are numbered over [part_count, I / 32]; those of one part take every part_count-th stretch of tokens. A
/// token's a reaches the next three tokens' convolutions, so that steps go back in time.
template <typename T>
__global__ void __launch_bounds__(kInputBackwardWarps* kWarp, 2)
    block_input_backward_kernel(BlockInputBackwardParams b) {
  const BlockInputParams& p = b.forward;
  const BlockShape& shape = p.shape;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int S = static_cast<int>(shape.S), I = static_cast<int>(shape.I);
  const std::int64_t groups = shape.I / kTileChannels;
  const std::int64_t index =
      static_cast<std::int64_t>(blockIdx.x) * kInputBackwardWarps + static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t channel = index % groups * kTileChannels, part = index / groups;
  if (part >= b.part_count) return;
  using Step = InputStep<T>;
  Step step(b, channel, lane);
  const TileLane tile(lane), a_tile(lane, kHaloTokens);

  const LaneConv conv(p, channel, lane);
  float skip[4];
#pragma unroll
  for (int e = 0; e < 4; ++e) skip[e] = b.skip[channel + e / 2 * 16 + lane / 4 * 2 + e % 2];
  std::uint32_t q_weight[2][4], k_weight[2][4], v_weight[2][4], c_gates[2][4], a_gates[2][4];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t first = channel + half * 16;
    load_diagonal<T, true>(q_weight[half], p.q_weight, first, lane);
    load_diagonal<T, true>(k_weight[half], p.k_weight, first, lane);
    load_diagonal<T, true>(v_weight[half], p.v_weight, first, lane);
    load_gate_columns<T>(c_gates[half], p.c_weight, shape.I, first, lane);
    load_gate_columns<T>(a_gates[half], p.a_weight, shape.I, first, lane);
  }
  InputSums sums;

  const std::int64_t stretches = (shape.S + kInputBackwardTokens - 1) / kInputBackwardTokens;
  for (std::int64_t item = part; item < shape.B * stretches; item += b.part_count) {
    const std::int64_t sequence = item / stretches * shape.S;
    const int begin = static_cast<int>(item % stretches) * kInputBackwardTokens;
    const int end = S - begin < kInputBackwardTokens ? S : begin + kInputBackwardTokens;
    // The last step; where another stretch follows, that one's first, for dx alone.
    int t = begin + (end - begin - 1) / kTileTokens * kTileTokens + (end < S ? kTileTokens : 0);
    T* const da_first = static_cast<T*>(b.dup) + sequence * 2 * shape.I + channel + lane / 4 * 2;
    float later[3][4] = {};  // dx of the three tokens behind the step, with the lanes of its last tokens
    int slot = 0;
    step.start(slot, sequence, t);
    for (; t >= begin; t -= kTileTokens, slot = 1 - slot) {
      copy_async_wait<0>();
      __syncwarp();  // everybody's copies have come, and nobody reads the slot and the c of the step before any more
      if (t > begin) step.start(1 - slot, sequence, t - kTileTokens);
      const GateGradients<T> gates(step.gate_pairs(slot), lane);

      float dx[7][4];  // of the convolution, at the lane's tokens and three more
      {
        float dc[2][2][4] = {};  // [half of the channels][product]
#pragma unroll
        for (int product = 0; product < 2; ++product) {
          std::uint32_t dq[4], dk[4];
          tile.template load_by_token<T>(dq, step.tile(slot, Step::kDq), product);
          tile.template load_by_token<T>(dk, step.tile(slot, Step::kDk), product);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            float(&sum)[4] = dc[half][product];
            multiply_add<T>(sum, c_gates[half], gates.high[product], gates.low[product]);
            multiply_add<T>(sum, q_weight[half], dq[2 * half], dq[2 * half + 1]);
            multiply_add<T>(sum, k_weight[half], dk[2 * half], dk[2 * half + 1]);
          }
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float2 a[7];
          load_past<T>(a, step.a(slot), tile, a_tile, half);
#pragma unroll
          for (int n = 0; n < 4; ++n) {
            const float2 mix = unpack<T>(tile.pair(step.tile(slot, Step::kDmix), n, half));
            const float2 of_conv = conv.at(a + n, half);
            float c[2];
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              const int own = 2 * half + e;
              const float of_mix = e == 0 ? mix.x : mix.y, x = e == 0 ? of_conv.x : of_conv.y;
              const float sigmoid_x = fast_sigmoid(x);
              c[e] = x * sigmoid_x;
              dx[n][own] = (dc[half][n / 2][2 * e + n % 2] + skip[own] * of_mix) * sigmoid_x * (1.0F + x - c[e]);
              if (t < end) {
                sums.skip[own] += of_mix * c[e];
                sums.bias[own] += dx[n][own];
#pragma unroll
                for (int k = 0; k < kConvTaps; ++k)
                  sums.taps[own][k] += dx[n][own] * (e == 0 ? a[n + k].x : a[n + k].y);
              }
            }
            tile.pair(step.c(), n, half) = pack<T>(c[0], c[1]);
          }
        }
      }
      // The next lane's first tokens come after this lane's; after the last lane's those of the step before, which the
      // first lane has handed to it then.
#pragma unroll
      for (int n = 0; n < 3; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float from_next = __shfl_sync(kAllLanes, dx[n][e], lane / 4 * 4 + (lane + 1) % 4);
          dx[4 + n][e] = lane % 4 == 3 ? later[n][e] : from_next;
          later[n][e] = from_next;
        }
      }
      if (t >= end) continue;

      float da[2][2][4] = {};
#pragma unroll
      for (int product = 0; product < 2; ++product) {
        std::uint32_t dv[4];
        tile.template load_by_token<T>(dv, step.tile(slot, Step::kDv), product);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          multiply_add<T>(da[half][product], a_gates[half], gates.high[product], gates.low[product]);
          multiply_add<T>(da[half][product], v_weight[half], dv[2 * half], dv[2 * half + 1]);
        }
      }
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int token = t + lane % 4 * 4 + n;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float x[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            x[e] = da[half][n / 2][2 * e + n % 2];
#pragma unroll
            for (int k = 0; k < kConvTaps; ++k) x[e] += conv.taps[2 * half + e][k] * dx[n + 3 - k][2 * half + e];
          }
          if (token < S)
            *reinterpret_cast<std::uint32_t*>(da_first + static_cast<std::int64_t>(token) * 2 * I + half * 16) =
                pack<T>(x[0], x[1]);

          const float2 mix = unpack<T>(tile.pair(step.tile(slot, Step::kDmix), n, half));
          const float2 h = unpack<T>(tile.pair(step.tile(slot, Step::kH), n, half));
          const float2 norm = step.norms(slot)[half * kTileTokens + lane % 4 * 4 + n];
          sums.norm[2 * half] += mix.x * (h.x - norm.x) * norm.y;
          sums.norm[2 * half + 1] += mix.y * (h.y - norm.x) * norm.y;
        }
      }
      __syncwarp();  // all of c is there
      sums.add_products(step, slot, gates, tile, a_tile);
    }
    __syncwarp();  // nobody reads the slots any more
  }
  sums.store(b.parts + part * kInputRows * shape.I, shape.I, channel, lane);
}

}  // namespace axlstm::kernels
