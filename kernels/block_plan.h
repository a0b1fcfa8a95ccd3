// Launch plans of the kernels around the cell (block_launch.h), and the sizes on which kernels and plans agree.
#pragma once

#include <algorithm>
#include <type_traits>

#include "block_params.h"
#include "launch.h"

namespace axlstm::kernels {

/// GPUs are counted on to have this many CTAs at a time: two for each multiprocessor of an H100. A fixed number, so
/// that sums over tokens are cut into the same parts on every GPU.
inline constexpr int kCtas = 264;

// add_norm, add_norm_backward: a warp a token.

inline constexpr int kNormThreads = 256;
inline constexpr int kNormWarps = kNormThreads / kWarp;

/// Calls run(std::integral_constant<int, Pairs>) with the pairs of channels that a lane needs for a width up to 1,280.
template <typename Run>
auto by_pairs(std::int64_t D, const Run& run) {
  if (D <= 192) return run(std::integral_constant<int, 3>{});
  if (D <= 384) return run(std::integral_constant<int, 6>{});
  if (D <= 768) return run(std::integral_constant<int, 12>{});
  return run(std::integral_constant<int, 20>{});
}

inline Launch plan_add_norm(const AddNormParams& params) {
  return {{ceil_div(params.B * params.S, kNormWarps)}, kNormThreads};
}

/// Parts in which the weights' gradients are stored, at most `most`.
inline int count_norm_parts(std::int64_t tokens, int most = 2 * kCtas) {
  return static_cast<int>(std::min<std::int64_t>(ceil_div(tokens, kNormWarps), most));
}

/// `pairs` from by_pairs(): in shared memory, every warp has as much as a lane's registers hold.
inline Launch plan_add_norm_backward(const AddNormBackwardParams& params, int pairs) {
  return {
      {static_cast<unsigned>(params.parts)}, kNormThreads, kNormThreads * pairs * 2 * static_cast<int>(sizeof(float))};
}

// fold_gates, fold_gates_backward: a thread a channel.

inline constexpr int kFoldThreads = 128;

inline Launch plan_fold_gates(const GateWeights& weights) {
  return {{ceil_div(weights.I, kFoldThreads)}, kFoldThreads};
}

inline Launch plan_pack_weights(const PackWeightsParams& params) {
  return {{ceil_div(packed_weights(params.NH, params.weights.I / params.NH), kFoldThreads)}, kFoldThreads};
}

// block_input, block_input_backward: a warp 32 channels, a tile a step along time.

inline constexpr int kTileTokens = 16, kTileChannels = 32;
inline constexpr int kTileBytes = kTileTokens * kTileChannels * 2;
inline constexpr int kHaloTokens = 4;        // of a before a step's first: the convolution reads three of them
inline constexpr int kHaloTileBytes = 1536;  // a tile of a with its halo

inline constexpr int kInputSteps = 8;  // of a CTA
inline constexpr int kInputTokens = kInputSteps * kTileTokens;
inline constexpr int kInputWarps = 6;
inline constexpr int kInputWarpBytes = 2 * kHaloTileBytes + 4 * kTileBytes;  // two of a; c, q, k, v
inline constexpr int kInputGateFloats = kInputTokens * kGates;               // a warp's part of the gates

inline Launch plan_block_input(const BlockShape& shape) {
  constexpr int kGateBytes = kInputWarps * kInputGateFloats * static_cast<int>(sizeof(float));
  return {{static_cast<unsigned>(shape.B) * ceil_div(shape.S, kInputTokens)},
          kInputWarps * kWarp,
          kInputWarps * kInputWarpBytes + kGateBytes};
}

inline constexpr int kInputBackwardTokens = 256;  // of one stretch
inline constexpr int kInputBackwardWarps = 4;
inline constexpr int kStepTensors = 5;  // dq, dk, dv, dmix, h: a tile of each
inline constexpr int kStepGateBytes = 2 * kTileTokens * 16, kStepNormBytes = 2 * kTileTokens * 8;
inline constexpr int kStepBytes = kStepTensors * kTileBytes + kHaloTileBytes + kStepGateBytes + kStepNormBytes;
inline constexpr int kInputBackwardWarpBytes = 2 * kStepBytes + kTileBytes;  // two steps; c

/// Parts in which the gradients of the weights are stored, so many that all warps of `ctas` CTAs have work.
inline int count_input_parts(const BlockShape& shape, int ctas = kCtas) {
  const std::int64_t parts = ctas * kInputBackwardWarps / (shape.I / kTileChannels);
  return static_cast<int>(std::clamp<std::int64_t>(parts, 1, shape.B * ceil_div(shape.S, kInputBackwardTokens)));
}

inline Launch plan_block_input_backward(const BlockInputBackwardParams& params) {
  const std::int64_t warps = params.part_count * (params.forward.shape.I / kTileChannels);
  return {{ceil_div(warps, kInputBackwardWarps)},
          kInputBackwardWarps * kWarp,
          kInputBackwardWarps * kInputBackwardWarpBytes};
}

// block_output, block_output_backward: some lanes share a head of a token.

inline constexpr int kOutputThreads = 128;
inline constexpr int kOutputVectors = 3;  // of eight channels, at most, of a lane

/// Calls run(std::integral_constant<int, Lanes>) with the lanes that share a head's channels.
template <typename Run>
auto by_lanes(const BlockShape& shape, const Run& run) {
  const std::int64_t DH = shape.I / shape.NH;
  if (DH <= 4 * kOutputVectors * 8) return run(std::integral_constant<int, 4>{});
  if (DH <= 8 * kOutputVectors * 8) return run(std::integral_constant<int, 8>{});
  if (DH <= 16 * kOutputVectors * 8) return run(std::integral_constant<int, 16>{});
  return run(std::integral_constant<int, 32>{});
}

/// `lanes` from by_lanes().
inline Launch plan_block_output(const BlockShape& shape, int lanes) {
  return {{ceil_div(shape.B * shape.S * shape.NH, kOutputThreads / lanes)}, kOutputThreads};
}

}  // namespace axlstm::kernels
