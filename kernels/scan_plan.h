// Launch plans of the kernels of Mamba's mixer, and the sizes on which kernels and plans agree.
#pragma once

#include <algorithm>
#include <type_traits>

#include "launch.h"
#include "scan_params.h"

namespace axlstm::kernels {

inline constexpr int kMaxStates = 64;
inline constexpr int kScanChunk = 16;  ///< tokens of a chunk, before each of which the states are kept
inline constexpr int kSubChunk = 4;    ///< tokens whose states the backward pass holds in registers

// The lanes of a warp share channels and states: eight lanes have the states of a channel, four the channels.
inline constexpr int kStateLanes = 8, kChannelLanes = kWarp / kStateLanes;
inline constexpr int kScanWarps = 6, kScanThreads = kScanWarps * kWarp;

/// Channels of a lane that has `states` of each.
constexpr int forward_channels(int states) { return states <= 4 ? 8 : 4; }
constexpr int backward_channels(int states) { return forward_channels(states) / 2; }

/// Channels of a CTA whose lanes have so many.
constexpr int scan_width(int channels) { return kScanWarps * kChannelLanes * channels; }

/// Calls run(std::integral_constant<int, States>) with the states of a lane.
template <typename Run>
auto by_states(std::int64_t N, const Run& run) {
  if (N <= 2 * kStateLanes) return run(std::integral_constant<int, 2>{});
  if (N <= 3 * kStateLanes) return run(std::integral_constant<int, 3>{});
  if (N <= 4 * kStateLanes) return run(std::integral_constant<int, 4>{});
  return run(std::integral_constant<int, kMaxStates / kStateLanes>{});
}

inline std::int64_t scan_chunks(const ScanShape& shape) { return ceil_div(shape.S, kScanChunk); }

/// What a CTA of the forward pass shares.
template <int States>
struct ForwardTiles {
  static constexpr int kChannels = forward_channels(States), kWidth = scan_width(kChannels);
  float step[kScanChunk][kWidth], inflow[kScanChunk][kWidth];  // Δ, Δ u
  float y[kScanChunk][kWidth];                                 // h C
  float B[kScanChunk][States * kStateLanes], C[kScanChunk][States * kStateLanes];
};

/// And of the backward pass.
template <int States>
struct BackwardTiles {
  static constexpr int kChannels = backward_channels(States), kWidth = scan_width(kChannels);
  float step[kScanChunk][kWidth], inflow[kScanChunk][kWidth], dy[kScanChunk][kWidth];  // dy: behind the gate
  float y[kScanChunk][kWidth], dinflow[kScanChunk][kWidth], dstep[kScanChunk][kWidth];
  float B[kScanChunk][States * kStateLanes], C[kScanChunk][States * kStateLanes];
  float kept[kScanChunk / kSubChunk - 1][kChannels * States][kScanThreads];  // h before all subchunks but the first
  /// Tokens whose dB and dC the warps store before they are added up: fewer of many states, for the sake of GPUs that
  /// give a CTA little.
  static constexpr int kSumTokens = States > 3 ? kSubChunk : kScanChunk;
  float dBC[kScanWarps][kSumTokens][2 * States * kStateLanes];
};

/// What every GPU of compute capability 8.0 and higher gives a CTA.
inline constexpr std::size_t kSharedEverywhere = std::size_t{99} << 10;

template <int States>
Launch plan_scan_forward(const ScanShape& shape) {
  using Tiles = ForwardTiles<States>;
  static_assert(sizeof(Tiles) <= kSharedEverywhere);
  return {{ceil_div(shape.I, Tiles::kWidth), static_cast<unsigned>(shape.B)}, kScanThreads, sizeof(Tiles)};
}

template <int States>
Launch plan_scan_backward(const ScanShape& shape) {
  using Tiles = BackwardTiles<States>;
  static_assert(sizeof(Tiles) <= kSharedEverywhere);
  return {{ceil_div(shape.I, Tiles::kWidth), static_cast<unsigned>(shape.B)}, kScanThreads, sizeof(Tiles)};
}

/// Parts in which the gradients of B and C are stored.
inline int count_scan_parts(const ScanShape& shape) {
  return by_states(shape.N, [&](auto states) {
    return static_cast<int>(ceil_div(shape.I, BackwardTiles<decltype(states)::value>::kWidth));
  });
}

// Convolution: a thread two channels of a stretch of tokens.

inline constexpr int kConvolutionThreads = 96, kStretchTokens = 64;

inline std::int64_t count_stretches(const ScanShape& shape) { return ceil_div(shape.S, kStretchTokens); }

inline Launch plan_convolution(const ScanShape& shape) {
  return {{ceil_div(shape.I, 2 * kConvolutionThreads), static_cast<unsigned>(count_stretches(shape)),
           static_cast<unsigned>(shape.B)},
          kConvolutionThreads};
}

}  // namespace axlstm::kernels
