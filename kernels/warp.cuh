// The warp-level instructions that the tensor-core kernels are made of: asynchronous copies into shared memory, matrix
// fragments and the product of two of them (mma.sync, sm_80 and newer). tests/kernels/emulator.h gives the same
// functions on the CPU, so that the kernels' logic is tested where there is no GPU.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "launch.h"

namespace axlstm::kernels {

constexpr unsigned kAllLanes = 0xffffffffU;
inline constexpr float kLog2E = 1.44269504F, kLn2 = 0.693147181F;

/// Bits of one type as another of the same size.
template <typename To, typename From>
__device__ inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), &from, sizeof(To));
  return to;
}

#ifdef __CUDACC__

/// Two neighbouring elements in one register, the lower index in the lower half. (By instructions on registers: of the
/// library's pairs the compiler keeps the halves apart, in two registers.)
template <typename T>
__device__ inline std::uint32_t pack(float low, float high) {
  std::uint32_t pair;
  if constexpr (std::is_same_v<T, __half>) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}

template <typename T>
__device__ inline float2 unpack(std::uint32_t pair) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half22float2(bits_as<__half2>(pair));
  } else {
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000U)};
  }
}

/// 2^x, two units in the last place; 0 where that would be subnormal.
__device__ inline float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// log₂(x), of normal numbers; beside 1 an absolute error of 2⁻²².
__device__ inline float fast_log2(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// 1 / x, one unit in the last place.
__device__ inline float fast_inverse(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// The thread block's dynamic shared memory.
template <typename T>
__device__ inline T* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char shared_memory[];
  return reinterpret_cast<T*>(shared_memory);
}

/// Brings what lies at `from` closer: into L2.
__device__ inline void prefetch(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }

/// Starts copying 16 (8) bytes to shared memory; zeros where `inside` is false (`from` must be a valid address all the
/// same).
__device__ inline void copy_async_16(void* to, const void* from, bool inside) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(inside ? 16 : 0));
}
__device__ inline void copy_async_8(void* to, const void* from, bool inside) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(address), "l"(from), "r"(inside ? 8 : 0));
}
/// Ends a group of copies.
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;"); }
/// Waits until at most `Pending` of this thread's groups are under way.
template <int Pending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// Four 8×8 matrices of 16-bit elements; lane l passes the address of row l % 8 of matrix l / 8. Lane l receives, of
/// each, elements (l / 4, 2 (l % 4) + {0, 1}), of the transposed matrix for `Transposed`.
template <bool Transposed>
__device__ inline void load_matrices(std::uint32_t (&matrices)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
                 : "r"(address)
                 : "memory");
  }
}

/// An 8×8 matrix of 16-bit elements, of which lane l has row l / 4's elements 2 (l % 4) + {0, 1}, transposed.
__device__ inline std::uint32_t transpose_matrix(std::uint32_t pair) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(pair));
  return transposed;
}

/// sum [16, 8] += a [16, 16] · b [16, 8], accumulated in float32. With g = lane / 4 and t = lane % 4 a lane holds of a
/// rows g, g + 8, g, g + 8 at columns 2t, 2t, 2t + 8, 2t + 8 (pairs); of b column g at rows 2t, 2t + 8 (pairs); of the
/// sum (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
template <typename T>
__device__ inline void multiply_add(float (&sum)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
template <>
__device__ inline void multiply_add<__nv_bfloat16>(float (&sum)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                   std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ inline void multiply_add<__half>(float (&sum)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                            std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// sum [16, 8] += a [16, 8] · b [8, 8], of whose elements 10 bits behind the leading one count. With g and t as above a
/// lane holds of a (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4), of b (t, g), (t + 4, g).
__device__ inline void multiply_add_tf32(float (&sum)[4], const float (&a)[4], float b0, float b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

#endif  // __CUDACC__

/// What a product by multiply_add_tf32 takes of x.
__device__ inline float tf32_part(float x) { return bits_as<float>(bits_as<std::uint32_t>(x) & 0xffffe000U); }

__device__ inline float sum_of_warp(float x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

/// Sums over the four lanes that share a row of an accumulator.
__device__ inline float sum_of_quad(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

}  // namespace axlstm::kernels
