// A warp's tile of the kernels before the cell, 16 tokens × 32 channels of a narrow tensor, in shared memory and in
// registers. Forward and backward walk along time in steps of a tile.
//
// With g = lane / 4 and t = lane % 4 a lane has tokens 4t … 4t + 3 of channels 2g, 2g + 1, 16 + 2g and 16 + 2g + 1. It
// is what products of matrices leave with it (multiply_add(), 16 channels × 8 tokens), where row g is channel 2g, row
// g + 8 channel 2g + 1, and column n of product `half` is token n / 2 · 4 + n % 2 + 2 · half.
#pragma once

#include "block_plan.h"
#include "warp.cuh"

namespace axlstm::kernels {

/// Where 16 bytes of a row (8 of its channels) lie in a tile: spread so that all accesses below take each bank once.
__device__ inline int piece_at(int row, int piece) {
  const int quad = row / 4, n = row % 4;
  return quad / 2 * 512 + n * 128 + quad % 2 * 64 + (piece ^ (quad / 2 % 2 * 2 + n % 2)) * 16;
}

/// Offsets in a tile that begins `first_row` rows (a multiple of four) before the step's first token.
class TileLane {
 public:
  __device__ explicit TileLane(int lane, int first_row = 0)
      : own_(piece_at(lane % 4 * 4 + first_row, lane / 16) + lane / 4 % 4 * 4),
        token_of_column_(piece_at(lane % 8 / 2 * 4 + lane % 2 + first_row, lane / 8)),
        token_of_row_(piece_at(lane % 8 / 2 * 4 + lane / 8 % 2 * 2 + lane % 2 + first_row, lane / 16)) {}

  /// This lane's channels 2g, 2g + 1 of 16 channels `half` at its token n.
  __device__ std::uint32_t& pair(std::byte* tile, int n, int half) const {
    return *reinterpret_cast<std::uint32_t*>(tile + ((own_ ^ (n % 2 * 16) ^ (half * 32)) + n * 128));
  }
  /// b of channels (k) × tokens (columns) for product `half`: two registers for each 16 channels.
  template <typename T>
  __device__ void load_by_token(std::uint32_t (&b)[4], const std::byte* tile, int half) const {
    load_matrices<false>(b, tile + token_of_column_ + half * 256);
  }
  /// Tokens (k, the columns of both products one after the other) × 8 channels each of pieces `piece` (even) and
  /// piece + 1: b, or rows 0 to 7 of a, two registers a piece.
  __device__ void load_by_channel(std::uint32_t (&b)[4], const std::byte* tile, int piece) const {
    load_matrices<true>(b, tile + (token_of_row_ ^ (piece * 16)));
  }

 private:
  int own_, token_of_column_, token_of_row_;
};

/// Starts copying tokens `first` … `first` + Tokens − 1 of a sequence of S to a tile; zeros outside the sequence.
/// `sequence` is its first token's first channel here, `stride` elements from one token to the next.
template <int Tokens, typename T>
__device__ inline void copy_tokens(std::byte* tile, const T* sequence, int stride, int first, int S, int lane) {
#pragma unroll
  for (int begin = 0; begin < Tokens; begin += 8) {  // eight tokens of four pieces at once
    const int row = begin + lane / 4, piece = lane % 4, token = first + row;
    if (Tokens % 8 != 0 && row >= Tokens) continue;
    const bool inside = token >= 0 && token < S;
    const std::int64_t from = static_cast<std::int64_t>(inside ? token : 0) * stride;
    copy_async_16(tile + piece_at(row, piece), sequence + from + piece * 8, inside);
  }
}

/// Two floats as two pairs of narrow elements whose sum they are to twice the type's precision.
template <typename T>
__device__ inline void split_pair(std::uint32_t& high, std::uint32_t& low, float2 x) {
  high = pack<T>(x.x, x.y);
  const float2 rounded = unpack<T>(high);
  low = pack<T>(x.x - rounded.x, x.y - rounded.y);
}

/// a of the block-diagonal matrix of the 16 channels from `channel` on, from 4×4 blocks [channels / 4, out, in]:
/// rows (this file's order of channels) are outputs and columns inputs, or, transposed, the other way round.
template <typename T, bool kTransposed>
__device__ inline void load_diagonal(std::uint32_t (&a)[4], const float* weight, std::int64_t channel, int lane) {
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const int row = lane / 4 * 2 + n % 2, column = lane % 4 * 2 + n / 2 * 8;
    float x[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int in = kTransposed ? row : column + e, out = kTransposed ? column + e : row;
      x[e] = in / 4 == out / 4 ? weight[(channel + out) * 4 + in % 4] : 0.0F;
    }
    a[n] = pack<T>(x[0], x[1]);
  }
}

/// a of the gate weights [8, channels]: rows are the gates, those of the low parts (split_pair()) after the high ones,
/// columns the 16 channels from `channel` on.
template <typename T>
__device__ inline void load_gate_rows(std::uint32_t (&a)[4], const float* weight, std::int64_t channels,
                                      std::int64_t channel, int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float* pair = weight + lane / 4 * channels + channel + half * 8 + lane % 4 * 2;
    split_pair<T>(a[2 * half], a[2 * half + 1], *reinterpret_cast<const float2*>(pair));
  }
}

/// For the backward pass, where the high parts suffice. A operand: rows are 16 channels from `channel` on, columns the
/// 8 gates, repeated twice. Input: gate weights [8, channels].
template <typename T>
__device__ inline void load_gate_columns(std::uint32_t (&a)[4], const float* weight, std::int64_t channels,
                                         std::int64_t channel, int lane) {
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const float* of_row = weight + lane % 4 * 2 * channels + channel + lane / 4 * 2 + n % 2;
    a[n] = pack<T>(of_row[0], of_row[channels]);
  }
}

}  // namespace axlstm::kernels
