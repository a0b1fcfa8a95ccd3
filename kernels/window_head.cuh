// How a thread block goes over one head of one clip whose tokens attend within windows: a warp has 16 tokens at a time,
// its own, as rows of tiles; the tokens that their windows have pass by 16 at a time as columns, from the first
// window's beginning on. A tile knows by its elements' distances from the beginning of their row's window what it must
// leave out.
#pragma once

#include "mlstm_terms.cuh"
#include "window_plan.h"

namespace axlstm::kernels {

/// The larger of the four lanes that share a row of an accumulator.
__device__ inline float max_of_quad(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}

template <int kSixteens, typename T>
class WindowHead {
 public:
  static constexpr int kWidth = 16 * kSixteens, kPitch = kWidth + 8;
  using Own = std::uint32_t[kSixteens][4];  // 16 rows of a tensor of tokens as left operands
  using Sum = float[2 * kSixteens][4];      // and as an accumulator
  using Tile = float[2][4];                 // 16 × 16, as two accumulators

  __device__ explicit WindowHead(const WindowParams& params)
      : S(static_cast<int>(params.S)),
        clip(blockIdx.x / static_cast<unsigned>(params.NH)),
        head(blockIdx.x % static_cast<unsigned>(params.NH)),
        of(params.heads[head]),
        rows((S + kRowsBehind) / 16 * 16),
        width_(params.NH * kWidth) {}

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ static float scale() { return rsqrtf(static_cast<float>(kWidth)); }

  /// This head's rows of q, k or v (0, 1, 2), and of a tensor [B, S, NH, DH].
  template <typename Element>
  __device__ Element* of_qkv(Element* qkv, int which) const {
    return qkv + (clip * S * 3 + which) * width_ + head * kWidth;
  }
  template <typename Element>
  __device__ Element* of_mixed(Element* mixed) const {
    return mixed + clip * S * width_ + head * kWidth;
  }
  __device__ std::int64_t qkv_stride() const { return 3 * width_; }
  __device__ std::int64_t mixed_stride() const { return width_; }
  /// This head's tokens in [B, NH, S].
  __device__ std::int64_t first_row(std::int64_t heads) const { return (clip * heads + head) * S; }

  /// Starts copying all tokens to shared memory, zeros behind the last.
  __device__ void copy_rows(T* to, const T* from, std::int64_t stride) const {
    constexpr int kPieces = kWidth / 8;
    for (int at = static_cast<int>(threadIdx.x); at < rows * kPieces; at += kWindowThreads) {
      const int row = at / kPieces, channel = at % kPieces * 8;
      const bool inside = row < S;
      copy_async_16(to + row * kPitch + channel, from + (inside ? row : 0) * stride + channel, inside);
    }
  }
  /// The head's table in units of ln 2, for exp2.
  __device__ void copy_table(float* to, const float* table) const {
    if (!of.has_table) return;
    for (int n = static_cast<int>(threadIdx.x); n < 2 * of.window - 1; n += kWindowThreads) {
      to[n] = kLog2E * table[of.table_at + n];
    }
  }

  /// 16 tokens from `first` on, zeros behind the last.
  __device__ void load_own(Own& own, const T* from, std::int64_t stride, int first) const {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int row = own_row(first, n);
      const T* at = from + row * stride + lane() % 4 * 2;
#pragma unroll
      for (int c = 0; c < kSixteens; ++c) {
        own[c][n] = row < S ? *reinterpret_cast<const std::uint32_t*>(at + 16 * c) : 0U;
        own[c][n + 2] = row < S ? *reinterpret_cast<const std::uint32_t*>(at + 16 * c + 8) : 0U;
      }
    }
  }

  /// tile += own · the 16 tokens at `passing` in shared memoryᵀ.
  __device__ static void add_products(Tile& tile, const Own& own, const T* passing) {
    const T* at = passing + (lane() % 8 + lane() / 16 * 8) * kPitch + lane() / 8 % 2 * 8;
#pragma unroll
    for (int c = 0; c < kSixteens; ++c) {
      std::uint32_t b[4];
      load_matrices<false>(b, at + 16 * c);
      multiply_add<T>(tile[0], own[c], b[0], b[1]);
      multiply_add<T>(tile[1], own[c], b[2], b[3]);
    }
  }
  /// sum += weights · the 16 tokens at `passing` in shared memory.
  __device__ static void add_weighted(Sum& sum, const Tile& weights, const T* passing) {
    const std::uint32_t a[4] = {pack<T>(weights[0][0], weights[0][1]), pack<T>(weights[0][2], weights[0][3]),
                                pack<T>(weights[1][0], weights[1][1]), pack<T>(weights[1][2], weights[1][3])};
    const T* at = passing + lane() % 16 * kPitch + lane() / 16 * 8;
#pragma unroll
    for (int c = 0; c < kSixteens; ++c) {
      std::uint32_t b[4];
      load_matrices<true>(b, at + 16 * c);
      multiply_add<T>(sum[2 * c], a, b[0], b[1]);
      multiply_add<T>(sum[2 * c + 1], a, b[2], b[3]);
    }
  }

  /// Writes the 16 tokens from `first` on, each times its factor.
  __device__ void store(T* to, std::int64_t stride, int first, const Sum& sum, float low, float high) const {
    store_row(to + own_row(first, 0) * stride, sum, 0, low, kWidth, own_row(first, 0) < S);
    store_row(to + own_row(first, 1) * stride, sum, 1, high, kWidth, own_row(first, 1) < S);
  }

  /// The tokens that some of the 16 from `first` on share a window with.
  __device__ int begin(int first) const { return first / of.window * of.window; }
  __device__ int end(int first) const {
    const int last = first + 15 < S ? first + 15 : S - 1;
    return begin(last) + of.window;
  }

  /// Calls visit(element, row half, own token, passing token, whether they share a window) for this lane's elements of
  /// the tile of the tokens from `own` and from `passing` on.
  template <typename Visit>
  __device__ void visit(Tile& tile, int own, int passing, const Visit& visit) const {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int i = own_row(own, row), window = begin(i);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int j = passing + column(half) + e;
          const bool together = static_cast<unsigned>(j - window) < static_cast<unsigned>(of.window);
          visit(tile[half][2 * row + e], row, i, j, together);
        }
      }
    }
  }

  /// Of a lane: the token of row g (half 0) or g + 8 (half 1), the first of two columns of a tile's half.
  __device__ static int own_row(int first, int half) { return first + lane() / 4 + 8 * half; }
  __device__ static int column(int half) { return 8 * half + lane() % 4 * 2; }

  const int S;
  const std::int64_t clip;
  const unsigned head;
  const WindowHeadParams of;
  const int rows;  // of a tensor in shared memory

 private:
  const std::int64_t width_;  // of all heads
};

}  // namespace axlstm::kernels
