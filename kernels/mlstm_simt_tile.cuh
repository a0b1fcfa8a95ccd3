// Tiles of 64 tokens in shared memory and the products of such tiles, in float32.
#pragma once

#include "mlstm_simt_plan.h"

namespace axlstm::kernels {

constexpr int kGroup = 8;  // channels of a slice that are summed before they are added to the rest
constexpr int kOwnedRows = 4;

/// The tokens of one batch entry and head: element (token, channel).
template <typename T>
struct HeadView {
  T* data;
  std::int64_t stride;

  __device__ HeadView(const Tensor4& tensor, std::int64_t batch, std::int64_t head)
      : data(static_cast<T*>(tensor.data) + batch * tensor.batch_stride + head * tensor.head_stride),
        stride(tensor.sequence_stride) {}
  __device__ T& at(std::int64_t token, std::int64_t channel) const { return data[token * stride + channel]; }
};

/// Copies tokens first … first + Rows − 1, channels from … from + Columns − 1 into tile[Rows][Columns + 1]; zero
/// outside.
template <int Rows, int Columns, typename T>
__device__ void load_tile(float* tile, const HeadView<T>& x, std::int64_t first, std::int64_t tokens, int from,
                          int channels) {
  for (int at = threadIdx.x; at < Rows * Columns; at += kThreads) {
    const int row = at / Columns, column = at % Columns;
    const bool inside = first + row < tokens && from + column < channels;
    tile[row * (Columns + 1) + column] = inside ? x.at(first + row, from + column) : 0.0F;
  }
}

/// scores[r][c] = Σ_channel a[a_first + row, channel] · b[b_first + column, channel] for the thread's rows and columns.
/// Begins and ends with a barrier.
template <typename T>
__device__ void score_tile(float (&scores)[kOwnedRows][4], const HeadView<T>& a, std::int64_t a_first,
                           const HeadView<T>& b, std::int64_t b_first, const MlstmShape& shape, float* scratch) {
  float* a_tile = scratch;
  float* b_tile = scratch + kTile * (kSlice + 1);
  const int y = threadIdx.x / kStep, x = threadIdx.x % kStep;
  for (auto& row : scores) {
    for (float& score : row) score = 0.0F;
  }
  const int DH = static_cast<int>(shape.DH);
  for (int from = 0; from < DH; from += kSlice) {
    __syncthreads();
    load_tile<kTile, kSlice>(a_tile, a, a_first, shape.S, from, DH);
    load_tile<kTile, kSlice>(b_tile, b, b_first, shape.S, from, DH);
    __syncthreads();
    for (int group = 0; group < kSlice; group += kGroup) {
      float part[kOwnedRows][4] = {};  // many short sums instead of a long one: a fraction of the rounding error
#pragma unroll
      for (int channel = group; channel < group + kGroup; ++channel) {
        float left[kOwnedRows], right[4];
#pragma unroll
        for (int r = 0; r < kOwnedRows; ++r) left[r] = a_tile[(y * kOwnedRows + r) * (kSlice + 1) + channel];
#pragma unroll
        for (int c = 0; c < 4; ++c) right[c] = b_tile[(x + kStep * c) * (kSlice + 1) + channel];
#pragma unroll
        for (int r = 0; r < kOwnedRows; ++r) {
#pragma unroll
          for (int c = 0; c < 4; ++c) part[r][c] += left[r] * right[c];
        }
      }
#pragma unroll
      for (int r = 0; r < kOwnedRows; ++r) {
#pragma unroll
        for (int c = 0; c < 4; ++c) scores[r][c] += part[r][c];
      }
    }
  }
  __syncthreads();
}

/// sum[r][c] += Σ_t weights(row, t) · x[first + t, from + column] over a tile of 64 tokens t, where weights is a tile
/// [64][65] in shared memory, read as [row][t] or, Transposed, as [t][row]. Begins with a barrier.
template <int Columns, bool Transposed, typename T>
__device__ void accumulate(float (&sum)[kOwnedRows][Columns], const float* weights, const HeadView<T>& x,
                           std::int64_t first, const MlstmShape& shape, int from, float* scratch) {
  constexpr int kWidth = kStep * Columns;
  const int ty = threadIdx.x / kStep, tx = threadIdx.x % kStep;
  for (int start = 0; start < kTile; start += kStep) {
    __syncthreads();
    load_tile<kStep, kWidth>(scratch, x, first + start, shape.S, from, static_cast<int>(shape.DH));
    __syncthreads();
#pragma unroll 4
    for (int t = 0; t < kStep; ++t) {
      float left[kOwnedRows];
#pragma unroll
      for (int r = 0; r < kOwnedRows; ++r) {
        const int row = ty * kOwnedRows + r, token = start + t;
        left[r] = weights[Transposed ? token * (kTile + 1) + row : row * (kTile + 1) + token];
      }
#pragma unroll
      for (int c = 0; c < Columns; ++c) {
        const float right = scratch[t * (kWidth + 1) + tx + kStep * c];
#pragma unroll
        for (int r = 0; r < kOwnedRows; ++r) sum[r][c] += left[r] * right;
      }
    }
  }
}

/// Writes factor(row) · sum to the thread's rows and columns of x.
template <int Columns, typename T, typename Factor>
__device__ void store(const float (&sum)[kOwnedRows][Columns], const HeadView<T>& x, std::int64_t first,
                      const MlstmShape& shape, int from, const Factor& factor) {
  const int y = threadIdx.x / kStep, x_lane = threadIdx.x % kStep;
  for (int r = 0; r < kOwnedRows; ++r) {
    const int row = y * kOwnedRows + r;
    if (first + row >= shape.S) continue;
    const float scale = factor(row);
    for (int c = 0; c < Columns; ++c) {
      const int channel = from + x_lane + kStep * c;
      if (channel < shape.DH) x.at(first + row, channel) = scale * sum[r][c];
    }
  }
}

}  // namespace axlstm::kernels
