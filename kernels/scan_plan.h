// Launch plans of the kernels of Mamba's mixer, and the sizes on which kernels and plans agree.
#pragma once

#include <algorithm>
#include <type_traits>

#include "launch.h"
#include "scan_params.h"

namespace axlstm::kernels {

inline constexpr int kMaxStates = 64;
inline constexpr int kScanChunk = 8;  ///< tokens of a chunk, before each of which the states are kept

// A thread has one channel of a clip, with all its states; a CTA neighbouring channels.
inline constexpr int kScanWarps = 6, kScanThreads = kScanWarps * kWarp;

/// Calls run(std::integral_constant<int, States>) with the number of states that a thread has registers for.
template <typename Run>
auto by_states(std::int64_t N, const Run& run) {
  if (N <= 16) return run(std::integral_constant<int, 16>{});
  if (N <= 24) return run(std::integral_constant<int, 24>{});
  if (N <= 32) return run(std::integral_constant<int, 32>{});
  return run(std::integral_constant<int, kMaxStates>{});
}

/// Elements of the states that are kept.
inline std::int64_t count_kept(const ScanShape& shape) {
  return by_states(shape.N, [&](auto states) {
    return shape.B * static_cast<std::int64_t>(ceil_div(shape.S, kScanChunk)) * shape.I * decltype(states)::value;
  });
}

/// B and C of a chunk's tokens.
template <int States>
struct StateTile {
  alignas(16) float B[kScanChunk][States], C[kScanChunk][States];
};

/// What a CTA of the forward pass shares: the next chunk's tile is loaded while the present one is used.
template <int States>
using ForwardTiles = StateTile<States>[2];

/// Tokens whose states the backward pass holds in shared memory at once, a power of two.
constexpr int held_tokens(int states, std::size_t element_size) {
  constexpr std::size_t kBytesOfThread = 384;
  int tokens = 1;
  while (2 * static_cast<std::size_t>(tokens * states) * element_size <= kBytesOfThread) tokens *= 2;
  return std::min(tokens, kScanChunk);
}

/// And of the backward pass. T: what states are held as, which is the type of the tokens.
template <int States, typename T>
struct BackwardTiles {
  static constexpr int kHeld = held_tokens(States, sizeof(T));
  static constexpr int kVectors = static_cast<int>(States * sizeof(T) / sizeof(uint4));
  uint4 h[kHeld][kVectors][kScanThreads];  // before each token
  StateTile<States> chunks[2];
  float step[kHeld][kScanThreads];           // Δ
  float dBC[kScanWarps][kHeld][2 * States];  // each warp's gradients of B and C, to be added up
};

/// What every GPU of compute capability 8.0 and higher gives a CTA.
inline constexpr std::size_t kSharedEverywhere = std::size_t{99} << 10;

inline Grid scan_grid(const ScanShape& shape) {
  return {ceil_div(shape.I, kScanThreads), static_cast<unsigned>(shape.B)};
}

template <int States>
Launch plan_scan_forward(const ScanShape& shape) {
  static_assert(sizeof(ForwardTiles<States>) <= kSharedEverywhere);
  return {scan_grid(shape), kScanThreads, sizeof(ForwardTiles<States>)};
}

template <int States, typename T>
Launch plan_scan_backward(const ScanShape& shape) {
  static_assert(sizeof(BackwardTiles<States, T>) <= kSharedEverywhere);
  return {scan_grid(shape), kScanThreads, sizeof(BackwardTiles<States, T>)};
}

/// Parts in which the gradients of B and C are stored.
inline int count_scan_parts(const ScanShape& shape) { return static_cast<int>(ceil_div(shape.I, kScanThreads)); }

// Convolution: a thread two channels of a stretch of tokens.

inline constexpr int kConvolutionThreads = 96, kStretchTokens = 64;

inline std::int64_t count_stretches(const ScanShape& shape) { return ceil_div(shape.S, kStretchTokens); }

inline Launch plan_convolution(const ScanShape& shape) {
  return {{ceil_div(shape.I, 2 * kConvolutionThreads), static_cast<unsigned>(count_stretches(shape)),
           static_cast<unsigned>(shape.B)},
          kConvolutionThreads};
}

}  // namespace axlstm::kernels
