// Runs CUDA kernels on the CPU, one block after the other, so that their logic is tested where there is no GPU. Each
// thread of a block is a fiber; a fiber gives way where CUDA would wait for others: at barriers and at the warp-level
// functions of kernels/warp.cuh, which are given here. Asynchronous copies happen as late as they may, and shared
// memory starts as NaN, so that a forgotten wait shows; under ThreadSanitizer a forgotten barrier does
// (emulator_races.h). Include before any header of kernels/.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <vector>

#include "emulator_races.h"
#include "launch.h"

#undef __global__
#undef __device__
#undef __shared__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)
#define __grid_constant__

namespace axlstm::emulator {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  bool inside;
};

struct Fiber {
  ucontext_t context{};
  std::vector<std::byte> stack = std::vector<std::byte>(std::size_t{96} << 10);
  Index thread;
  unsigned warp = 0, lane = 0;
  bool done = false;
  std::uint64_t exchanges = 0, barriers = 0;
  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copy_groups;
  std::vector<std::function<void()>> open_products;
  std::deque<std::vector<std::function<void()>>> product_groups;
};

/// A barrier of shared memory that also counts the bytes of copies.
struct TransactionBarrier {
  unsigned arrivals = 0;  // of each phase
  unsigned awaited = 0;
  std::size_t bytes = 0;
  std::vector<std::function<std::size_t()>> copies;
  unsigned phase = 0;
  Meetings meetings;

  void next_phase() {
    awaited = arrivals;
    copies.clear();
    ++phase;
  }
};

struct NamedBarrier {
  std::uint64_t number = 0;
  unsigned waiting = 0;
  Meetings meetings;
};

/// What the lanes of a warp hand to each other; two buffers, since none can be two exchanges ahead.
struct Exchange {
  std::uint64_t number = ~std::uint64_t{0};
  unsigned arrived = 0;
  Meeting meeting;  // of __syncwarp
  alignas(16) std::byte values[32][32];
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<std::array<Exchange, 2>> warps;
  std::vector<std::byte> shared;
  std::size_t current = 0;
  unsigned alive = 0, waiting = 0;
  std::uint64_t barrier = 0;
  Meetings barrier_meetings;
  Meeting start, end, copy_engine;
  Agent launcher = Agent::running();
  std::array<NamedBarrier, 16> named_barriers;
  std::map<const void*, TransactionBarrier> transaction_barriers;
  ucontext_t host{};
  std::function<void()> kernel;
};

inline Block* block = nullptr;  // the one that runs
inline Fiber& self() { return *block->fibers[block->current]; }

}  // namespace axlstm::emulator

inline axlstm::emulator::Index threadIdx, blockIdx, blockDim, gridDim;

namespace axlstm::emulator {

/// Makes the next fiber the current one; its agent and stack are to follow. False if there is no other.
inline bool choose_next() {
  const Unwatched unwatched;
  std::size_t next = block->current;
  do {
    next = (next + 1) % block->fibers.size();
  } while (block->fibers[next]->done && next != block->current);
  if (next == block->current) return false;
  block->current = next;
  threadIdx = self().thread;
  return true;
}

/// Goes on as `agent`, who finds all of the emulator's own in the arguments: it has not seen what others wrote there.
inline void change_stack(Agent agent, ucontext_t& from, const ucontext_t& to) {
  agent.run();
  swapcontext(&from, &to);
}

/// Lets the next fiber run.
inline void give_way() {
  const Unwatched unwatched;
  Fiber& from = self();
  if (!choose_next()) return;
  change_stack(Agent::numbered(block->current), from.context, self().context);
}

/// Ends this fiber. Nothing of it may be left unwatched: the next block's has its agent.
inline void leave() {
  const ucontext_t* next = &block->host;
  Agent agent = block->launcher;
  {
    const Unwatched unwatched;
    self().done = true;
    if (--block->alive > 0) {
      choose_next();
      next = &self().context;
      agent = Agent::numbered(block->current);
    }
  }
  block->end.reach();
  agent.run();
  setcontext(next);
}

inline void fiber_main() {
  {
    const Unwatched unwatched;
    block->start.pass();
  }
  block->kernel();
  leave();
}

/// Hands `value` to the warp and waits for the other lanes' values.
template <typename Value>
const Value* exchange(const Value& value) {
  static_assert(sizeof(Value) <= 32);
  const Unwatched unwatched;
  Fiber& fiber = self();
  Exchange& x = block->warps[fiber.warp][fiber.exchanges % 2];
  if (x.number != fiber.exchanges) {
    x.number = fiber.exchanges;
    x.arrived = 0;
  }
  ++fiber.exchanges;
  std::memcpy(x.values[fiber.lane], &value, sizeof(Value));
  ++x.arrived;
  while (x.arrived < 32) give_way();
  static thread_local Value received[32];
  for (int lane = 0; lane < 32; ++lane) std::memcpy(&received[lane], x.values[lane], sizeof(Value));
  return received;
}

/// What a GPU takes (shared memory: of compute capability 9.0).
inline constexpr unsigned kMostThreads = 1024, kMostInYOrZ = 65535;
inline constexpr std::size_t kMostSharedBytes = std::size_t{227} << 10;
/// Dynamic shared memory is aligned to this, and what lies behind it must stay as it is.
inline constexpr std::size_t kSharedAlignment = 1024, kGuardBytes = std::size_t{16} << 10;

/// Where a block's dynamic shared memory begins.
inline std::byte* first_of(std::vector<std::byte>& shared) {
  const auto address = reinterpret_cast<std::uintptr_t>(shared.data());
  return shared.data() + ((address + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment - address);
}

/// A fiber for thread `n` of the block that runs.
[[gnu::noinline]] inline std::unique_ptr<Fiber> make_fiber(unsigned n) {
  auto fiber = std::make_unique<Fiber>();
  fiber->thread = {n, 0, 0};
  fiber->warp = n / 32;
  fiber->lane = n % 32;
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.data();
  fiber->context.uc_stack.ss_size = fiber->stack.size();
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, fiber_main, 0);
  return fiber;
}

/// Runs kernel(arguments) as planned; the number of threads must be a multiple of the warp. Always successful: throws
/// for what a GPU would refuse.
template <typename Kernel, typename... Arguments>
cudaError_t launch(Kernel kernel, const kernels::Launch& plan, const Arguments&... arguments) {
  const kernels::Grid& grid = plan.grid;
  const unsigned threads = plan.threads;
  const auto shared_bytes = static_cast<std::size_t>(plan.shared_bytes);
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > kMostInYOrZ || grid.z > kMostInYOrZ || threads == 0 ||
      threads > kMostThreads || threads % 32 != 0 || shared_bytes > kMostSharedBytes) {
    throw std::logic_error("a GPU would refuse this launch");
  }
  gridDim = {grid.x, grid.y, grid.z};
  blockDim = {threads, 1, 1};
  for (unsigned at = 0; at < grid.x * grid.y * grid.z; ++at) {
    blockIdx = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
    Block running;
    block = &running;
    running.kernel = [&] { kernel(arguments...); };
    running.shared.assign(kSharedAlignment + shared_bytes + kGuardBytes, std::byte{0xff});
    running.warps.resize(threads / 32);
    running.alive = threads;
    for (unsigned n = 0; n < threads; ++n) running.fibers.push_back(make_fiber(n));
    threadIdx = self().thread;
    Agent::numbered(threads);  // all are made here, the copy engine too: an agent begins behind what its maker has done
    running.start.reach();
    change_stack(Agent::numbered(0), running.host, self().context);
    running.end.pass();
    const std::byte* shared_end = first_of(running.shared) + shared_bytes;
    const std::byte* end = running.shared.data() + running.shared.size();
    if (std::find_if(shared_end, end, [](std::byte byte) { return byte != std::byte{0xff}; }) != end) {
      throw std::logic_error("a kernel wrote behind its shared memory");
    }
  }
  block = nullptr;
  return cudaSuccess;
}

}  // namespace axlstm::emulator

inline void __syncthreads() {
  using namespace axlstm::emulator;
  const Unwatched unwatched;
  const std::uint64_t mine = block->barrier;
  block->barrier_meetings[mine].reach();
  ++block->waiting;
  while (block->barrier == mine) {
    if (block->waiting >= block->alive) {
      block->waiting = 0;
      ++block->barrier;
    } else {
      give_way();
    }
  }
  block->barrier_meetings[mine].pass();
}
inline void __syncwarp() {
  using namespace axlstm::emulator;
  const Unwatched unwatched;
  Meeting& meeting = block->warps[self().warp][self().exchanges % 2].meeting;
  meeting.reach();
  exchange(0);
  meeting.pass();
}

template <typename Value>
Value __shfl_xor_sync(unsigned, Value value, int mask, int = 32) {
  return axlstm::emulator::exchange(value)[axlstm::emulator::self().lane ^ static_cast<unsigned>(mask)];
}
template <typename Value>
Value __shfl_sync(unsigned, Value value, int lane) {
  return axlstm::emulator::exchange(value)[lane];
}
template <typename Value>
Value __shfl_up_sync(unsigned, Value value, int step) {
  const int lane = static_cast<int>(axlstm::emulator::self().lane);
  return axlstm::emulator::exchange(value)[lane >= step ? lane - step : lane];
}
template <typename Value>
Value __shfl_down_sync(unsigned, Value value, int step) {
  const int lane = static_cast<int>(axlstm::emulator::self().lane);
  return axlstm::emulator::exchange(value)[lane + step < 32 ? lane + step : lane];
}
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }

#include "warp.cuh"

namespace axlstm::kernels {

template <typename T>
std::uint32_t pack(float low, float high) {
  if constexpr (std::is_same_v<T, __half>) {
    return bits_as<std::uint32_t>(__floats2half2_rn(low, high));
  } else {
    return bits_as<std::uint32_t>(__floats2bfloat162_rn(low, high));
  }
}
template <typename T>
float2 unpack(std::uint32_t pair) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half22float2(bits_as<__half2>(pair));
  } else {
    return __bfloat1622float2(bits_as<__nv_bfloat162>(pair));
  }
}
inline float fast_exp2(float x) { return std::exp2(x); }
inline float fast_log2(float x) { return std::log2(x); }
inline float fast_inverse(float x) { return 1.0F / x; }

template <typename T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(emulator::first_of(emulator::block->shared));
}

inline void prefetch(const void*) {}

inline void copy_async_16(void* to, const void* from, bool inside) {
  emulator::watch_write(to, 16);  // may happen at once
  emulator::self().open_copies.push_back({to, from, 16, inside});
}
inline void copy_async_8(void* to, const void* from, bool inside) {
  emulator::watch_write(to, 8);
  emulator::self().open_copies.push_back({to, from, 8, inside});
}
inline void copy_async_commit() {
  emulator::Fiber& fiber = emulator::self();
  fiber.copy_groups.push_back(std::move(fiber.open_copies));
  fiber.open_copies.clear();
}
template <int Pending>
void copy_async_wait() {
  auto& groups = emulator::self().copy_groups;
  while (groups.size() > Pending) {
    for (const emulator::Copy& copy : groups.front()) {
      if (copy.inside) {
        std::memcpy(copy.to, copy.from, copy.bytes);
      } else {
        std::memset(copy.to, 0, copy.bytes);
      }
    }
    groups.pop_front();
  }
}

template <bool Transposed>
void load_matrices(std::uint32_t (&matrices)[4], const void* row) {
  const void* const* rows = emulator::exchange(row);
  const unsigned lane = emulator::self().lane;
  for (unsigned m = 0; m < 4; ++m) {
    std::uint16_t pair[2];
    for (unsigned e = 0; e < 2; ++e) {
      const unsigned r = Transposed ? 2 * (lane % 4) + e : lane / 4, c = Transposed ? lane / 4 : 2 * (lane % 4) + e;
      std::memcpy(&pair[e], static_cast<const std::byte*>(rows[8 * m + r]) + 2 * c, 2);
    }
    std::memcpy(&matrices[m], pair, 4);
  }
}

inline std::uint32_t transpose_matrix(std::uint32_t pair) {
  const std::uint32_t* pairs = emulator::exchange(pair);
  const unsigned row = emulator::self().lane / 4, column = 2 * (emulator::self().lane % 4);
  const auto element = [&](unsigned r, unsigned c) { return pairs[4 * r + c / 2] >> (c % 2 * 16) & 0xffffU; };
  return element(column, row) | element(column + 1, row) << 16;
}

template <typename T>
void multiply_add(float (&sum)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  struct Fragments {
    std::uint32_t a[4], b[2];
  };
  const Fragments* lanes = emulator::exchange(Fragments{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const unsigned lane = emulator::self().lane;
  for (unsigned e = 0; e < 4; ++e) {
    const unsigned m = lane / 4 + 8 * (e / 2), n = 2 * (lane % 4) + e % 2;
    for (unsigned k = 0; k < 16; k += 2) {
      const float2 left = unpack<T>(lanes[m % 8 * 4 + k % 8 / 2].a[m / 8 + 2 * (k / 8)]);
      const float2 right = unpack<T>(lanes[n * 4 + k % 8 / 2].b[k / 8]);
      sum[e] += left.x * right.x + left.y * right.y;
    }
  }
}

inline void multiply_add_tf32(float (&sum)[4], const float (&a)[4], float b0, float b1) {
  struct Fragments {
    float a[4], b[2];
  };
  const Fragments* lanes = emulator::exchange(Fragments{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const unsigned lane = emulator::self().lane;
  for (unsigned e = 0; e < 4; ++e) {
    const unsigned m = lane / 4 + 8 * (e / 2), n = 2 * (lane % 4) + e % 2;
    for (unsigned k = 0; k < 8; ++k)
      sum[e] += tf32_part(lanes[m % 8 * 4 + k % 4].a[m / 8 + 2 * (k / 4)]) * tf32_part(lanes[n * 4 + k % 4].b[k / 4]);
  }
}

}  // namespace axlstm::kernels
