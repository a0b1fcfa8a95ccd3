// The instructions of sm_90a that the Hopper kernels are made of: barriers in shared memory, copies of tiles by the
// tensor memory accelerator (TMA), and products of tiles in shared memory by a warpgroup (wgmma).
// tests/kernels/emulator_hopper.h gives the same functions on the CPU.
//
// Tiles have rows of 128 bytes, 64 elements, whose eight pieces of 16 bytes are swizzled: piece p of row r lies at
// p ^ (r % 8). Eight rows are an atom of 1,024 bytes, to which tiles are aligned.
#pragma once

#include "mlstm_chunk_terms.h"
#include "mlstm_params.h"
#include "warp.cuh"

#ifdef __CUDACC__
#include <cuda.h>
#endif

namespace axlstm::kernels {

/// A barrier of shared memory: a phase ends when all arrivals and all announced bytes have come.
using Barrier = std::uint64_t;

#ifdef __CUDACC__

/// Where tiles are copied from: a tensor [B, S, NH, DH], seen as boxes of tokens × kTileWidth channels of one head.
using TensorMap = CUtensorMap;

__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ inline void barrier_init(Barrier& barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals) : "memory");
}
/// Shows initialised barriers to the copy engine; a barrier of the thread block must follow.
__device__ inline void barrier_init_done() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ inline void barrier_arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}
/// Arrives and announces bytes that copies will bring.
__device__ inline void barrier_expect(Barrier& barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)), "r"(bytes)
               : "memory");
}
/// Waits for the end of the phase of this parity; the first phase has parity 0.
__device__ inline void barrier_wait(Barrier& barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "WAIT:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra WAIT;\n"
      "}" ::"r"(shared_address(&barrier)),
      "r"(parity)
      : "memory");
}

/// Waits for `threads` threads of the thread block.
template <int kBarrier>
__device__ inline void sync_threads(int threads) {
  asm volatile("bar.sync %0, %1;" ::"n"(kBarrier), "r"(threads) : "memory");
}

/// Starts copying a box to `to`, from these channels, head, token and batch entry on; zeros outside the tensor.
__device__ inline void copy_box(void* to, const TensorMap& map, Barrier& barrier, int channel, int head, int token,
                                int batch) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(channel), "r"(head), "r"(token), "r"(batch)
      : "memory");
}

/// Shows what this thread has written to shared memory to wgmma and the copy engine; a barrier must follow.
__device__ inline void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Before the first product: registers that it accumulates into are written.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most `Pending` groups of products are under way.
template <int Pending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

/// Hands registers of this warpgroup's threads back, down to `Count` of each, or takes such as others hand back.
template <int Count>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

/// The same number, of which the compiler knows nothing.
__device__ inline int opaque(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

/// Keeps the compiler from moving uses of accumulators across a wait.
template <int kStrips, int kEighths>
__device__ inline void hold(float (&sums)[kStrips][kEighths][4]) {
#pragma unroll
  for (int strip = 0; strip < kStrips; ++strip) {
#pragma unroll
    for (int n = 0; n < kEighths; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) asm volatile("" : "+f"(sums[strip][n][e])::"memory");
    }
  }
}

#define AXLSTM_WGMMA(SHAPE, TYPE, REGISTERS, A, B, A_TRANSPOSED, B_TRANSPOSED, ...)             \
  asm volatile(                                                                                 \
      "{\n"                                                                                     \
      ".reg .pred adds;\n"                                                                      \
      "setp.eq.b32 adds, 0, 0;\n"                                                               \
      "wgmma.mma_async.sync.aligned." SHAPE ".f32." TYPE "." TYPE " {" REGISTERS "}, " A ", " B \
      ", adds, 1, 1, " A_TRANSPOSED ", " B_TRANSPOSED                                           \
      ";\n"                                                                                     \
      "}"                                                                                       \
      : __VA_ARGS__                                                                             \
      : "l"(a), "l"(b), "n"(kATransposed ? 1 : 0), "n"(kBTransposed ? 1 : 0)                    \
      : "memory")
#define AXLSTM_FOUR(n) "+f"(s[n][0]), "+f"(s[n][1]), "+f"(s[n][2]), "+f"(s[n][3])
#define AXLSTM_SIX AXLSTM_FOUR(0), AXLSTM_FOUR(1), AXLSTM_FOUR(2), AXLSTM_FOUR(3), AXLSTM_FOUR(4), AXLSTM_FOUR(5)
#define AXLSTM_24 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23"
#define AXLSTM_WGMMA_48(TYPE) AXLSTM_WGMMA("m64n48k16", TYPE, AXLSTM_24, "%24", "%25", "%26", "%27", AXLSTM_SIX)
#define AXLSTM_WGMMA_64(TYPE)                                                                                       \
  AXLSTM_WGMMA("m64n64k16", TYPE, AXLSTM_24 ", %24, %25, %26, %27, %28, %29, %30, %31", "%32", "%33", "%34", "%35", \
               AXLSTM_SIX, AXLSTM_FOUR(6), AXLSTM_FOUR(7))

/// Starts s [64, 8 · kEighths] += a [64, 16] · b [16, 8 · kEighths], accumulated in float32. Warp w of the warpgroup
/// has rows 16 w to 16 w + 15, columns 8 n to 8 n + 7 in s[n], lanes as in multiply_add(). a's rows and b's columns are
/// rows of their tiles, or, transposed, columns.
template <typename T, bool kATransposed, bool kBTransposed, int kEighths>
__device__ inline void wgmma(float (&s)[kEighths][4], std::uint64_t a, std::uint64_t b) {
  static_assert(kEighths == 6 || kEighths == 8);
  constexpr bool kHalf = std::is_same_v<T, __half>;
  if constexpr (kEighths == 6 && kHalf) {
    AXLSTM_WGMMA_48("f16");
  } else if constexpr (kEighths == 6) {
    AXLSTM_WGMMA_48("bf16");
  } else if constexpr (kHalf) {
    AXLSTM_WGMMA_64("f16");
  } else {
    AXLSTM_WGMMA_64("bf16");
  }
}
#undef AXLSTM_WGMMA_64
#undef AXLSTM_WGMMA_48
#undef AXLSTM_24
#undef AXLSTM_SIX
#undef AXLSTM_FOUR
#undef AXLSTM_WGMMA

#else

__device__ std::uint32_t shared_address(const void* pointer);

#endif  // __CUDACC__

/// How wgmma finds a tile: address, 1,024 bytes from one eight rows to the next, swizzle of 128 bytes (PTX ISA, matrix
/// descriptor). The other distance, 1, does not count: a tile is as wide as the swizzle.
__device__ inline std::uint64_t tile_descriptor(const void* tile) {
  constexpr std::uint64_t kAtoms = (std::uint64_t{1024} >> 4) << 32, kSwizzle128 = std::uint64_t{1} << 62;
  return kSwizzle128 | kAtoms | (std::uint64_t{1} << 16) | ((shared_address(tile) & 0x3ffffU) >> 4);
}

/// A descriptor 16 elements further on: along the rows of its tile, or, transposed, 16 rows down.
template <bool kTransposed>
__device__ inline std::uint64_t step_of(std::uint64_t descriptor, int step) {
  return descriptor + static_cast<std::uint64_t>(step * ((kTransposed ? 16 * kTileRowBytes : 32) >> 4));
}

}  // namespace axlstm::kernels
