// The functions of kernels/hopper.cuh on the CPU. Copies of tiles and products of a warpgroup happen as late as they
// may: when somebody waits for them. Include before kernels/mlstm_hopper.cuh.
#pragma once

#include "kernels/emulator.h"

// After the emulator, which stands for nvcc's language.
#include "hopper.cuh"

namespace axlstm::kernels {

/// Boxes of this tensor.
struct TensorMap {
  Tensor4 x;
  MlstmShape shape;
};

/// Where the block's tiles begin: descriptors hold offsets from here.
inline std::byte* shared_base() { return dynamic_shared<std::byte>(); }
inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(pointer) - shared_base());
}

inline emulator::TransactionBarrier& state_of(Barrier& barrier) {
  return emulator::block->transaction_barriers[&barrier];
}

inline void barrier_init(Barrier& barrier, unsigned arrivals) {
  const emulator::Unwatched unwatched;
  auto& state = state_of(barrier);
  state.arrivals = state.awaited = arrivals;
}
inline void barrier_init_done() {}
inline void barrier_arrive(Barrier& barrier) {
  const emulator::Unwatched unwatched;
  auto& state = state_of(barrier);
  state.meetings[state.phase].reach();
  if (state.awaited-- == 0) throw std::logic_error("more arrivals at a barrier than it awaits");
  if (state.awaited == 0 && state.copies.empty()) state.next_phase();
}
inline void barrier_expect(Barrier& barrier, unsigned bytes) {
  const emulator::Unwatched unwatched;
  auto& state = state_of(barrier);
  state.meetings[state.phase].reach();
  state.bytes = bytes;
  if (state.awaited-- == 0) throw std::logic_error("more arrivals at a barrier than it awaits");
}
inline void barrier_wait(Barrier& barrier, unsigned parity) {
  const emulator::Unwatched unwatched;
  while (state_of(barrier).phase % 2 == parity) {
    auto& state = state_of(barrier);
    if (state.awaited == 0) {
      std::size_t bytes = 0;
      for (const auto& copy : state.copies) bytes += copy();
      if (bytes != state.bytes) throw std::logic_error("a barrier was promised other bytes than came");
      state.next_phase();
    } else {
      emulator::give_way();
    }
  }
  state_of(barrier).meetings[parity].pass();
}

template <int kBarrier>
void sync_threads(int threads) {
  const emulator::Unwatched unwatched;
  auto& barrier = emulator::block->named_barriers[kBarrier];
  const std::uint64_t mine = barrier.number;
  barrier.meetings[mine].reach();
  ++barrier.waiting;
  while (barrier.number == mine) {
    if (barrier.waiting == static_cast<unsigned>(threads)) {
      barrier.waiting = 0;
      ++barrier.number;
    } else {
      emulator::give_way();
    }
  }
  barrier.meetings[mine].pass();
}

/// Where an element of a tile lies, of which the unswizzled address is `at`.
inline std::uint32_t swizzled(std::uint32_t at) { return at ^ (at >> 3 & 0x70U); }

/// Tells that the copy engine may write from now on, until the phase of this barrier ends.
inline void watch_copy(void* to, std::size_t bytes, Barrier& announced) {
  const emulator::Unwatched unwatched;  // this thread, not the engine
  emulator::Block& block = *emulator::block;
  auto& barrier = state_of(announced);
  const emulator::Agent asking = emulator::Agent::running();
  const auto engine = emulator::Agent::numbered(block.fibers.size());
  block.copy_engine.reach();
  engine.run();
  block.start.pass();
  block.copy_engine.pass();
  emulator::watch_write(to, bytes);
  barrier.meetings[barrier.phase].reach();
  asking.run();
}

inline void copy_box(void* to, const TensorMap& map, Barrier& barrier, int channel, int head, int token, int batch) {
  constexpr int kTokens = 256;
  watch_copy(to, kTokens * kTileRowBytes, barrier);
  const std::uint32_t tile = shared_address(to);
  const emulator::Unwatched unwatched;
  std::byte* base = shared_base();
  state_of(barrier).copies.push_back([=, x = map.x, shape = map.shape] {
    for (int row = 0; row < kTokens; ++row) {
      for (int column = 0; column < kTileWidth; ++column) {
        std::uint16_t element = 0;
        if (token + row < shape.S && channel + column < shape.DH) {
          const std::int64_t at = batch * x.batch_stride + (token + row) * x.sequence_stride + head * x.head_stride;
          std::memcpy(&element, static_cast<const std::uint16_t*>(x.data) + at + channel + column, 2);
        }
        const auto offset = static_cast<std::uint32_t>(row * kTileRowBytes + column * 2);
        std::memcpy(base + swizzled(tile + offset), &element, 2);
      }
    }
    return static_cast<std::size_t>(kTokens * kTileRowBytes);
  });
}

inline void fence_async_proxy() {}
inline void wgmma_fence() {}
inline void wgmma_commit() {
  emulator::Fiber& fiber = emulator::self();
  fiber.product_groups.push_back(std::move(fiber.open_products));
  fiber.open_products.clear();
}
template <int Pending>
void wgmma_wait() {
  auto& groups = emulator::self().product_groups;
  while (groups.size() > Pending) {
    for (const auto& product : groups.front()) product();
    groups.pop_front();
  }
}
template <int Count>
void give_registers() {}
template <int Count>
void take_registers() {}
inline int opaque(int x) { return x; }
template <int kStrips, int kEighths>
void hold(float (&)[kStrips][kEighths][4]) {}

/// Element (own, k) of the operand that a descriptor points to: rows are its own index, or, transposed, k.
template <typename T, bool kTransposed>
float operand(std::uint64_t descriptor, int own, int k) {
  const int row = kTransposed ? k : own, column = kTransposed ? own : k;
  const auto begin = static_cast<std::uint32_t>(descriptor & 0x3fff) << 4;
  const auto offset = static_cast<std::uint32_t>(row / 8 * 1024 + row % 8 * kTileRowBytes + column * 2);
  T element;
  std::memcpy(static_cast<void*>(&element), shared_base() + swizzled(begin + offset), sizeof(T));
  return static_cast<float>(element);
}

/// Tells that the 64 × 16 elements that a descriptor points to are read, with what lies beside them in their rows.
template <bool kTransposed>
void watch_operand(std::uint64_t descriptor) {
  const auto begin = (static_cast<std::uint32_t>(descriptor & 0x3fff) << 4) / kTileRowBytes * kTileRowBytes;
  emulator::watch_read(shared_base() + begin, (kTransposed ? 16 : 64) * kTileRowBytes);
}

template <typename T, bool kATransposed, bool kBTransposed, int kEighths>
void wgmma(float (&s)[kEighths][4], std::uint64_t a, std::uint64_t b) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp % 4;
  // They are read some time between this call and the wait.
  const auto watch = [a, b] {
    watch_operand<kATransposed>(a);
    watch_operand<kBTransposed>(b);
  };
  watch();
  emulator::self().open_products.push_back([&s, a, b, lane, warp, watch] {
    watch();
    const emulator::Unwatched unwatched;
    for (int half = 0; half < 2; ++half) {
      const int m = warp * 16 + lane / 4 + 8 * half;
      float left[16];
      for (int k = 0; k < 16; ++k) left[k] = operand<T, kATransposed>(a, m, k);
      for (int n = 0; n < 2 * kEighths; ++n) {
        const int column = n / 2 * 8 + 2 * (lane % 4) + n % 2;
        float sum = 0.0F;
        for (int k = 0; k < 16; ++k) sum += left[k] * operand<T, kBTransposed>(b, column, k);
        s[n / 2][2 * half + n % 2] += sum;
      }
    }
  });
}

}  // namespace axlstm::kernels
