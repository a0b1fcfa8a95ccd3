// A strip of 64 tokens in shared memory and what its tokens bring along: the ground that the tensor-core kernels stand
// on.
#pragma once

#include "mlstm_gates.cuh"
#include "warp.cuh"

namespace axlstm::kernels {

constexpr int kStripTokens = 64;
constexpr int kStripThreads = 128;

/// What a strip's tokens and the passing tokens bring along besides their channels.
struct TokenTerms {
  float high, low;  // g of a j, G of an i; out of range such that exp(g − G) is 0. Off the diagonal `high` is a factor
  float inverse;    // of an i: 1 / N
  float signed_delta;  // of an i: s δ
};

/// Where a result's parts come from and go to.
struct SumOperands {
  MlstmShape shape;
  Tensor4 strip, score, sum, out;
  GateState state;
  RowTerms rows{};           // dq, dk, dv
  float* n = nullptr;        // h: written
  Tensor4 own{};             // dq, dk: the q or k that the gradient belongs to
  float* own_sum = nullptr;  // dq, dk: Σ ∂L/∂log D_ij over the passing tokens; written
};

template <int W>
constexpr int kStripPitch = W + 8;

/// Bytes of shared memory of a block.
template <int W>
constexpr int kStripBytes = 3 * kStripTokens* kStripPitch<W> * 2 +
                            2 * kStripTokens* static_cast<int>(sizeof(TokenTerms));

/// Bytes of the held weights of one tile: 16 registers of each thread.
constexpr int kHeldTileBytes = 16 * 4 * kStripThreads;

/// Starts copying 64 tokens, W channels from `from`, of one head; zeros outside. A thread keeps its channels.
template <int W, typename T>
__device__ void start_tile(T* tile, const Tensor4& x, std::int64_t pair, std::int64_t first, int from,
                           const MlstmShape& shape) {
  constexpr int kChunks = W / 8, kRows = kStripThreads / kChunks;  // rows a pass; threads beyond have none
  const int tid = threadIdx.x, row = tid / kChunks, channel = tid % kChunks * 8;
  if (row >= kRows) return;
  const T* head = static_cast<const T*>(x.data) + pair / shape.NH * x.batch_stride + pair % shape.NH * x.head_stride;
  const T* source = head + (first + row) * x.sequence_stride + from + channel;
  T* target = tile + row * kStripPitch<W> + channel;
  const std::int64_t step = kRows * x.sequence_stride;
  const std::int64_t left = shape.S - first;
  const int rows = from + channel >= shape.DH ? 0 : left < kStripTokens ? static_cast<int>(left) : kStripTokens;
#pragma unroll 1  // unrolled, the compiler keeps every address in registers
  for (int at = row; at < kStripTokens; at += kRows) {
    copy_async_16(target, at < rows ? source : head, at < rows);
    source += step;
    target += kRows * kStripPitch<W>;
  }
}

/// The terms of one token, an i or a j.
template <bool IsI, bool Backward>
__device__ TokenTerms token_terms(const SumOperands& x, std::int64_t base, std::int64_t token) {
  TokenTerms terms{IsI ? INFINITY : -INFINITY, 0.0F, 0.0F, 0.0F};
  if (token >= x.shape.S) return terms;
  terms.high = IsI ? x.state.G_high[base + token] : x.state.g_high[base + token];
  terms.low = IsI ? x.state.G_low[base + token] : x.state.g_low[base + token];
  if (IsI && Backward) {
    terms.inverse = x.rows.inverse[base + token];
    terms.signed_delta = x.rows.signed_delta[base + token];
  }
  return terms;
}

/// exp of (high, low) of j less that of i.
__device__ inline float exponential(const TokenTerms& j, const TokenTerms& i) {
  return fast_exp2((j.high - i.high) + (j.low - i.low));
}

/// G of the last token of the tile that begins at `first`: between the g_j of that tile and the G_i of later ones, so
/// that exp(g_j − G_i) splits into two factors of at most 1, one for each token instead of one for each pair.
__device__ inline TokenTerms split_point(const SumOperands& x, std::int64_t base, std::int64_t first) {
  const std::int64_t end = first + kStripTokens < x.shape.S ? first + kStripTokens : x.shape.S;
  return token_terms<true, false>(x, base, end - 1);
}

}  // namespace axlstm::kernels
