// Sums over the channels of a warp, by tensor cores: the lanes' numbers are one factor, the other one chooses to which
// sum they are added.
#pragma once

#include <type_traits>

#include "warp.cuh"

namespace axlstm::kernels {

/// A token's gradients of B and C: each the sum, over the channels, of a number that every lane has of a state. The
/// matrix units round numbers of bfloat16 tokens to 10 bits behind the leading one, those of the other types in two
/// parts to 20.
template <int States, typename T>
class ScanSums {
 public:
  /// The other factor: column n of it is of one state alone.
  struct Chooses {
    float column[8];

    __device__ Chooses() {
#pragma unroll
      for (int n = 0; n < 8; ++n) column[n] = static_cast<int>(threadIdx.x) % kWarp / 4 == n ? 1.0F : 0.0F;
    }
  };

  __device__ explicit ScanSums(const Chooses& chooses) : chooses_(chooses) {
#pragma unroll
    for (auto& tile : sums_) tile[0] = tile[1] = tile[2] = tile[3] = 0.0F;
  }

  /// This lane's parts of states n to n + 3. A product sums up four lanes, of two states: B's in rows 0 to 7, a row for
  /// each four lanes, C's in rows 8 to 15, the two states in two columns.
  __device__ void add_four(int n, const float (&B)[4], const float (&C)[4]) {
    auto& tile = sums_[n / 8];
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
      const float first = chooses_.column[n % 8 + k], second = chooses_.column[n % 8 + k + 1];
      if constexpr (std::is_same_v<T, __nv_bfloat16>) {
        multiply_add_tf32(tile, {B[k], C[k], B[k + 1], C[k + 1]}, first, second);
      } else {
        const float high[4] = {tf32_part(B[k]), tf32_part(C[k]), tf32_part(B[k + 1]), tf32_part(C[k + 1])};
        multiply_add_tf32(tile, high, first, second);
        multiply_add_tf32(tile, {B[k] - high[0], C[k] - high[1], B[k + 1] - high[2], C[k + 1] - high[3]}, first,
                          second);
      }
    }
  }

  /// All sums, [2 States] in the order of place(); called by all lanes.
  __device__ void store(float* to) {
    float(&x)[kOwn] = reinterpret_cast<float(&)[kOwn]>(sums_);
    const unsigned lane = threadIdx.x % kWarp;
    halve<kOwn / 2>(x, lane, 16);
    halve<kOwn / 4>(x, lane, 8);
    const int first = ((lane & 16U) != 0 ? kOwn / 2 : 0) + ((lane & 8U) != 0 ? kOwn / 4 : 0);
    float* own = to + 4 * first + static_cast<int>(lane % 4);
#pragma unroll
    for (int n = 0; n < kOwn / 4; ++n) {
      const float sum = x[n] + __shfl_xor_sync(kAllLanes, x[n], 4);
      if ((lane & 4U) == 0) own[4 * n] = sum;
    }
  }

  /// Where store() puts B's sum of a state, or C's.
  __device__ static int place(int state, bool of_C) {
    return 4 * (state / 8 * 4 + (of_C ? 2 : 0) + state % 2) + state % 8 / 2;
  }

 private:
  static constexpr int kOwn = States / 2;  ///< numbers of a lane: of each tile four

  /// This lane goes on with one half of the numbers, the other lane with the other.
  template <int Half>
  __device__ static void halve(float (&x)[kOwn], unsigned lane, unsigned bit) {
    const bool upper = (lane & bit) != 0;
#pragma unroll
    for (int n = 0; n < Half; ++n) {
      const float given = upper ? x[n] : x[n + Half], own = upper ? x[n + Half] : x[n];
      x[n] = own + __shfl_xor_sync(kAllLanes, given, static_cast<int>(bit));
    }
  }

  const Chooses& chooses_;
  float sums_[States / 8][4];
};

}  // namespace axlstm::kernels
