// The Hopper kernels' chunk where q and v are still to be multiplied by block-diagonal weights (CellWeights): products
// of eight channels each by mma.sync, on rows that a warpgroup is about to use and on results before they are written.
//
// A step's loads, products and stores come for several eighths of a slice at once: they would else wait for each other.
#pragma once

#include "mlstm_hopper.cuh"

namespace axlstm::kernels {

template <typename T, int kWidth>
class WeightedChunk : public HopperChunk<T, kWidth> {
 public:
  using Base = HopperChunk<T, kWidth>;
  using typename Base::Rows;
  using typename Base::Scores;
  using typename Base::Sums;
  static constexpr int kEighths = Base::kEighths;
  using Weights = std::uint32_t[kEighths];  // of a slice: b of products with eight channels each

  using Base::Base;

  /// A head's weights, slice by slice; each slice's are loaded while those of the slice before are in use.
  class Stream {
   public:
    __device__ Stream(const WeightedChunk& chunk, const std::uint32_t* weights)
        : at_(weights + chunk.head_ * chunk.slices_ * kEighths * kWarp + Base::lane()) {
      load();
    }
    __device__ void next(Weights& weights) {
#pragma unroll
      for (int eighth = 0; eighth < kEighths; ++eighth) weights[eighth] = coming_[eighth];
      load();
    }

   private:
    __device__ void load() {
#pragma unroll
      for (std::uint32_t& of_lane : coming_) {
        of_lane = *at_;
        at_ += kWarp;
      }
    }
    const std::uint32_t* at_;
    Weights coming_;
  };

  /// scores = (right times weights) · rightᵀ, for the next tensor of the ring. The product is made where the triangle's
  /// weights will be.
  __device__ void make_scores(Scores& scores, Stream weights) {
    Base::sync();  // nobody reads the triangle's weights any more
    this->template multiply_slices<1>(scores, [&](int slice) {
      const T* right = this->receive();
      T* left = Base::weight_tile(0) + slice % 2 * Base::kSliceElements;
      Weights of_slice;
      weights.next(of_slice);
      if (slice > 1) this->sync_warpgroup();  // the slice before the last one has been multiplied by all its warps
      project(left, right, of_slice, this->channels(slice));
      return typename Base::Operands{left, right};
    });
  }
  /// scores = (left times the weights' transposes) · rightᵀ, for the next two tensors of the ring.
  __device__ void make_scores_back(Scores& scores, Stream weights) {
    this->template multiply_slices<2>(scores, [&](int slice) {
      T* left = this->receive();
      const T* right = this->receive();
      Weights of_slice;
      weights.next(of_slice);
      transpose(of_slice, of_slice);
      project(left, left, of_slice, this->channels(slice));
      return typename Base::Operands{left, right};
    });
  }

  /// sums, each row times its factor, times weights.
  __device__ static void project(Sums& sums, const Rows& factor, const Weights& weights) {
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
      std::uint32_t rows[kEighths][2];
#pragma unroll
      for (int n = 0; n < 2 * kEighths; ++n) {
        float* half = sums[strip][n / 2] + n % 2 * 2;
        rows[n / 2][n % 2] = pack<T>(factor[strip][n % 2] * half[0], factor[strip][n % 2] * half[1]);
        half[0] = half[1] = 0.0F;
      }
#pragma unroll
      for (int eighth = 0; eighth < kEighths; ++eighth) {
        multiply_add<T>(sums[strip][eighth], {rows[eighth][0], rows[eighth][1], 0, 0}, weights[eighth], 0);
      }
    }
  }

  /// What join() needs beside x and y. `dweights`: this lane's, of its warp's part of their gradients, of the slice's
  /// first eighth.
  struct Join {
    Weights weights, transposed;  // of the slice
    float scale;
    float2* dweights;

    __device__ Join(const WeightedChunk& chunk, Stream& stream, float scale_of_scores, float* parts, int slice)
        : scale(scale_of_scores) {
      stream.next(weights);
      transpose(transposed, weights);
      const auto heads = static_cast<unsigned>(chunk.shape_.NH);
      const unsigned part = blockIdx.x / heads * (Base::kConsumers / kWarp) + threadIdx.x / kWarp;
      const std::int64_t row = (part * heads + chunk.head_) * chunk.shape_.DH + slice * kWidth + Base::lane() / 4;
      dweights = reinterpret_cast<float2*>(parts + row * 4) + Base::lane() % 2;
    }
  };
  /// Where q is k times weights W and scores are (W k_i)·k_j, x = Σ_j dS_ij k_j by rows and y = Σ_i dS_ij k_i by
  /// columns, both to be scaled: adds the sums over the slice's channels of (W k)·x and (Wᵀ k)·y, unscaled, to those of
  /// rows and columns; adds x kᵀ of this warp's tokens to the gradient of W; puts that of k, Wᵀ x + W y, into x. What W
  /// k loses by rounding is missing in the scores. So it is left out of the row's sum, and taken from the same token's
  /// column, so that sums over all rows and over all columns are equal and those of the scores.
  __device__ void join(Sums& x, const Sums& y, const T* k, const Join& with, Rows& row_sum, Rows& column_sum,
                       int channels) const {
    constexpr int kAtOnce = 2, kEighth = 8 * 4 / 2;  // from one eighth's dweights to the next one's
    const int place = Base::lane_place();
    const bool on_diagonal = Base::lane() / 16 == Base::lane() % 4 / 2;  // of 4 × 4 weights on the diagonal
#pragma unroll
    for (int first = 0; first < kEighths; first += kAtOnce) {
      if (first * 8 >= channels) break;
      float2 before[kAtOnce] = {};
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        if (on_diagonal) before[n] = with.dweights[(first + n) * kEighth];
      }
      float products[kAtOnce][4] = {};
#pragma unroll
      for (int strip = 0; strip < 2; ++strip) {
        const T* tile = k + this->template own_tile_row<false>(strip) * Base::kTileElements;
        std::uint32_t rows[kAtOnce][2], of_x[kAtOnce][2], of_y[kAtOnce][2];
        float left[kAtOnce][4] = {}, right[kAtOnce][4] = {};
#pragma unroll
        for (int n = 0; n < 2 * kAtOnce; ++n) rows[n / 2][n % 2] = Base::element(tile, place, first + n / 2, n % 2);
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          multiply_add<T>(left[n], {rows[n][0], rows[n][1], 0, 0}, with.weights[first + n], 0);
          multiply_add<T>(right[n], {rows[n][0], rows[n][1], 0, 0}, with.transposed[first + n], 0);
        }
#pragma unroll
        for (int n = 0; n < 2 * kAtOnce; ++n) {
          const int half = n % 2, pair = 2 * half;
          float* own = x[strip][first + n / 2] + pair;
          const float *other = y[1 - strip][first + n / 2] + pair, *of_left = left[n / 2] + pair,
                      *of_right = right[n / 2] + pair;
          const float2 q = unpack<T>(pack<T>(of_left[0], of_left[1]));  // as the scores have it
          row_sum[strip][half] += own[0] * q.x + own[1] * q.y;
          column_sum[1 - strip][half] += other[0] * of_right[0] + other[1] * of_right[1] -
                                         (own[0] * (of_left[0] - q.x) + own[1] * (of_left[1] - q.y));
          of_x[n / 2][half] = pack<T>(with.scale * own[0], with.scale * own[1]);
          of_y[n / 2][half] = pack<T>(with.scale * other[0], with.scale * other[1]);
          own[0] = own[1] = 0.0F;
        }
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          float(&own)[4] = x[strip][first + n];
          multiply_add<T>(own, {of_x[n][0], of_x[n][1], 0, 0}, with.transposed[first + n], 0);
          multiply_add<T>(own, {of_y[n][0], of_y[n][1], 0, 0}, with.weights[first + n], 0);
        }
#pragma unroll
        for (int n = 0; n < 2 * kAtOnce; ++n) {
          rows[n / 2][n % 2] = transpose_matrix(rows[n / 2][n % 2]);
          of_x[n / 2][n % 2] = transpose_matrix(of_x[n / 2][n % 2]);
        }
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          multiply_add<T>(products[n], {of_x[n][0], 0, of_x[n][1], 0}, rows[n][0], rows[n][1]);
        }
      }
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        if (on_diagonal) {
          with.dweights[(first + n) * kEighth] = {before[n].x + products[n][0], before[n].y + products[n][1]};
        }
      }
    }
  }

 private:
  __device__ static void transpose(Weights& to, const Weights& from) {
#pragma unroll
    for (int eighth = 0; eighth < kEighths; ++eighth) to[eighth] = transpose_matrix(from[eighth]);
  }

  /// This warpgroup's rows of the slice `from` times weights, in `to`, which may be the same.
  __device__ void project(T* to, const T* from, const Weights& weights, int channels) const {
    constexpr int kAtOnce = kEighths / 2;
    const int place = Base::lane_place();
#pragma unroll
    for (int first = 0; first < kEighths; first += kAtOnce) {
      if (first * 8 >= channels) break;
#pragma unroll
      for (int strip = 0; strip < 2; ++strip) {
        const int tile_start = this->template own_tile_row<false>(strip) * Base::kTileElements;
        std::uint32_t rows[kAtOnce][2];
        float x[kAtOnce][4] = {};
#pragma unroll
        for (int n = 0; n < 2 * kAtOnce; ++n) {
          rows[n / 2][n % 2] = Base::element(from + tile_start, place, first + n / 2, n % 2);
        }
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          multiply_add<T>(x[n], {rows[n][0], rows[n][1], 0, 0}, weights[first + n], 0);
        }
#pragma unroll
        for (int n = 0; n < 2 * kAtOnce; ++n) {
          const float* half = x[n / 2] + n % 2 * 2;
          Base::element(to + tile_start, place, first + n / 2, n % 2) = pack<T>(half[0], half[1]);
        }
      }
    }
    fence_async_proxy();
    this->sync_warpgroup();
  }
};

}  // namespace axlstm::kernels
