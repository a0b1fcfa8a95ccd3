// The backward pass of what precedes the cell: gradients of a and of all weights in one pass. A warp has 32 channels
// and walks back in time, 16 tokens a step; everything but the convolution is products of matrices.
#pragma once

#include "block_input.cuh"

namespace axlstm::kernels {

/// What a warp has in shared memory: a step's tensors, copied while the step before is computed, and c. kProjects: dq
/// and dk are gradients of q and k; else dq is that of c through the cell's scores, and dk nothing.
template <typename T, bool kProjects>
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
      if (!kProjects && tensor == kDk) continue;
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
  template <typename T, bool kProjects>
  __device__ void add_products(const InputStep<T, kProjects>& step, int slot, const GateGradients<T>& gates,
                               const TileLane& lane, const TileLane& a_lane) {
    using Step = InputStep<T, kProjects>;
#pragma unroll
    for (int piece = 0; piece < 4; piece += 2) {
      std::uint32_t c[4], a[4], dq[4], dk[4], dv[4];
      lane.load_by_channel(c, step.c(), piece);
      if constexpr (kProjects) {
        lane.load_by_channel(dq, step.tile(slot, Step::kDq), piece);
        lane.load_by_channel(dk, step.tile(slot, Step::kDk), piece);
      }
      lane.load_by_channel(dv, step.tile(slot, Step::kDv), piece);
      a_lane.load_by_channel(a, step.a(slot), piece);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int at = piece + n;
        if constexpr (kProjects) {
          multiply_add<T>(qk[at], {dq[2 * n], dk[2 * n], dq[2 * n + 1], dk[2 * n + 1]}, c[2 * n], c[2 * n + 1]);
        }
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

/// The weights of a warp's 32 channels, products with which lead back: transposed.
template <typename T, bool kProjects>
struct InputBackwardWeights {
  LaneConv conv;
  float skip[4];                                                          // of the lane's channels
  std::uint32_t q[2][4], k[2][4], v[2][4], c_gates[2][4], a_gates[2][4];  // [half of the channels]

  __device__ InputBackwardWeights(const BlockInputBackwardParams& b, std::int64_t channel, int lane)
      : conv(b.forward, channel, lane) {
    const BlockInputParams& p = b.forward;
#pragma unroll
    for (int e = 0; e < 4; ++e) skip[e] = b.skip[channel + e / 2 * 16 + lane / 4 * 2 + e % 2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t first = channel + half * 16;
      if constexpr (kProjects) {
        load_diagonal<T, true>(q[half], p.q_weight, first, lane);
        load_diagonal<T, true>(k[half], p.k_weight, first, lane);
      }
      load_diagonal<T, true>(v[half], p.v_weight, first, lane);
      load_gate_columns<T>(c_gates[half], p.c_weight, p.shape.I, first, lane);
      load_gate_columns<T>(a_gates[half], p.a_weight, p.shape.I, first, lane);
    }
  }
};

/// One step's way from the gradients of q, k, v, the gates and the mix to that of a, on a lane's tokens and channels.
template <typename T, bool kProjects>
class BackwardStep {
 public:
  using Tiles = InputStep<T, kProjects>;
  using Weights = InputBackwardWeights<T, kProjects>;

  __device__ BackwardStep(const Tiles& tiles, int slot, const TileLane& own, const TileLane& own_a, int lane)
      : tiles_(tiles), slot_(slot), own_(own), own_a_(own_a), lane_(lane), gates_(tiles.gate_pairs(slot), lane) {}

  /// dx[0..3], the gradient of the convolution's result at the lane's tokens; puts c into its tile and adds to the sums
  /// over tokens, unless the step is there for dx alone.
  __device__ void conv_gradient(float (&dx)[7][4], InputSums& sums, const Weights& weights, bool for_dx_alone) const {
    float dc[2][2][4] = {};  // [half of the channels][product]
#pragma unroll
    for (int product = 0; product < 2; ++product) {
      std::uint32_t dq[4], dk[4];
      if constexpr (kProjects) {
        own_.template load_by_token<T>(dq, tiles_.tile(slot_, Tiles::kDq), product);
        own_.template load_by_token<T>(dk, tiles_.tile(slot_, Tiles::kDk), product);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float(&sum)[4] = dc[half][product];
        multiply_add<T>(sum, weights.c_gates[half], gates_.high[product], gates_.low[product]);
        if constexpr (kProjects) {
          multiply_add<T>(sum, weights.q[half], dq[2 * half], dq[2 * half + 1]);
          multiply_add<T>(sum, weights.k[half], dk[2 * half], dk[2 * half + 1]);
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float2 a[7];
      load_past<T>(a, tiles_.a(slot_), own_, own_a_, half);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const float2 mix = unpack<T>(own_.pair(tiles_.tile(slot_, Tiles::kDmix), n, half));
        const float2 of_conv = weights.conv.at(a + n, half);
        float2 of_cell = {};
        if constexpr (!kProjects) of_cell = unpack<T>(own_.pair(tiles_.tile(slot_, Tiles::kDq), n, half));
        float c[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int own = 2 * half + e;
          const float of_mix = e == 0 ? mix.x : mix.y, x = e == 0 ? of_conv.x : of_conv.y;
          const float sigmoid_x = fast_sigmoid(x);
          c[e] = x * sigmoid_x;
          dx[n][own] =
              (dc[half][n / 2][2 * e + n % 2] + (e == 0 ? of_cell.x : of_cell.y) + weights.skip[own] * of_mix) *
              sigmoid_x * (1.0F + x - c[e]);
          if (for_dx_alone) continue;
          sums.skip[own] += of_mix * c[e];
          sums.bias[own] += dx[n][own];
#pragma unroll
          for (int k = 0; k < kConvTaps; ++k) sums.taps[own][k] += dx[n][own] * (e == 0 ? a[n + k].x : a[n + k].y);
        }
        own_.pair(tiles_.c(), n, half) = pack<T>(c[0], c[1]);
      }
    }
  }

  /// dx[4..6], of the three tokens after the lane's. They come from the next lane; the last lane uses those that the
  /// first lane saved in `later` in the previously processed (later) step.
  __device__ void from_next_lane(float (&dx)[7][4], float (&later)[3][4]) const {
#pragma unroll
    for (int n = 0; n < 3; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float from_next = __shfl_sync(kAllLanes, dx[n][e], lane_ / 4 * 4 + (lane_ + 1) % 4);
        dx[4 + n][e] = lane_ % 4 == 3 ? later[n][e] : from_next;
        later[n][e] = from_next;
      }
    }
  }

  /// Writes the gradient of a. `da` is the lane's first channel of the sequence's first token; the step begins at t.
  __device__ void store_da(T* da, int t, const float (&dx)[7][4], InputSums& sums, const Weights& weights,
                           const BlockShape& shape) const {
    float sum[2][2][4] = {};
#pragma unroll
    for (int product = 0; product < 2; ++product) {
      std::uint32_t dv[4];
      own_.template load_by_token<T>(dv, tiles_.tile(slot_, Tiles::kDv), product);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        multiply_add<T>(sum[half][product], weights.a_gates[half], gates_.high[product], gates_.low[product]);
        multiply_add<T>(sum[half][product], weights.v[half], dv[2 * half], dv[2 * half + 1]);
      }
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int token = t + lane_ % 4 * 4 + n;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float x[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          x[e] = sum[half][n / 2][2 * e + n % 2];
#pragma unroll
          for (int k = 0; k < kConvTaps; ++k) x[e] += weights.conv.taps[2 * half + e][k] * dx[n + 3 - k][2 * half + e];
        }
        if (token < static_cast<int>(shape.S)) {
          *reinterpret_cast<std::uint32_t*>(da + static_cast<std::int64_t>(token) * 2 * static_cast<int>(shape.I) +
                                            half * 16) = pack<T>(x[0], x[1]);
        }
        add_norm(sums, n, half);
      }
    }
  }

  /// Adds the products that give the gradients of the weights; all of c must be there.
  __device__ void accumulate(InputSums& sums) const { sums.add_products(tiles_, slot_, gates_, own_, own_a_); }

 private:
  /// Adds to the gradient of the head norm's weight.
  __device__ void add_norm(InputSums& sums, int n, int half) const {
    const float2 mix = unpack<T>(own_.pair(tiles_.tile(slot_, Tiles::kDmix), n, half));
    const float2 h = unpack<T>(own_.pair(tiles_.tile(slot_, Tiles::kH), n, half));
    const float2 norm = tiles_.norms(slot_)[half * kTileTokens + lane_ % 4 * 4 + n];
    sums.norm[2 * half] += mix.x * (h.x - norm.x) * norm.y;
    sums.norm[2 * half + 1] += mix.y * (h.y - norm.x) * norm.y;
  }

  const Tiles& tiles_;
  int slot_;
  const TileLane &own_, &own_a_;
  int lane_;
  GateGradients<T> gates_;
};

/// Warps are numbered over [part_count, I / 32]; those of one part take every part_count-th stretch of tokens. A
/// token's a reaches the next three tokens' convolutions, so that steps go back in time.
template <typename T, bool kProjects>
__global__ void __launch_bounds__(kInputBackwardWarps* kWarp, 2)
    block_input_backward_kernel(BlockInputBackwardParams b) {
  const BlockShape& shape = b.forward.shape;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int S = static_cast<int>(shape.S);
  const std::int64_t groups = shape.I / kTileChannels;
  const std::int64_t index =
      static_cast<std::int64_t>(blockIdx.x) * kInputBackwardWarps + static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t channel = index % groups * kTileChannels, part = index / groups;
  if (part >= b.part_count) return;
  InputStep<T, kProjects> tiles(b, channel, lane);
  const TileLane own(lane), own_a(lane, kHaloTokens);
  const InputBackwardWeights<T, kProjects> weights(b, channel, lane);
  InputSums sums;

  const std::int64_t stretches = (shape.S + kInputBackwardTokens - 1) / kInputBackwardTokens;
  for (std::int64_t item = part; item < shape.B * stretches; item += b.part_count) {
    const std::int64_t sequence = item / stretches * shape.S;
    const int begin = static_cast<int>(item % stretches) * kInputBackwardTokens;
    const int end = S - begin < kInputBackwardTokens ? S : begin + kInputBackwardTokens;
    // The last step; where another stretch follows, that one's first, for dx alone.
    int t = begin + (end - begin - 1) / kTileTokens * kTileTokens + (end < S ? kTileTokens : 0);
    T* const da = static_cast<T*>(b.dup) + sequence * 2 * shape.I + channel + lane / 4 * 2;
    float later[3][4] = {};  // dx of the three tokens behind the step, with the lanes of its last tokens
    int slot = 0;
    tiles.start(slot, sequence, t);
    for (; t >= begin; t -= kTileTokens, slot = 1 - slot) {
      copy_async_wait<0>();
      __syncwarp();  // everybody's copies have come, and nobody reads the slot and the c of the step before any more
      if (t > begin) tiles.start(1 - slot, sequence, t - kTileTokens);
      const BackwardStep<T, kProjects> step(tiles, slot, own, own_a, lane);
      float dx[7][4];  // of the convolution, at the lane's tokens and three more
      step.conv_gradient(dx, sums, weights, t >= end);
      step.from_next_lane(dx, later);
      if (t >= end) continue;
      step.store_da(da, t, dx, sums, weights, shape);
      __syncwarp();  // all of c is there
      step.accumulate(sums);
    }
    __syncwarp();  // nobody reads the slots any more
  }
  sums.store(b.parts + part * kInputRows * shape.I, shape.I, channel, lane);
}

}  // namespace axlstm::kernels
