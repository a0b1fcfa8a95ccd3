// Barriers that are missing are seen: otherwise the watched kernels' silence would say nothing.
#include <gtest/gtest.h>

#include "kernels/emulator_hopper.h"

namespace axlstm::emulator {
namespace {

constexpr unsigned kThreads = 64;

enum class Meet { kBlock, kNamed, kWarp, kNowhere };

/// Each thread reads what another one wrote: its neighbour in the warp, or, if `far`, one of the other warp.
void swap_kernel(Meet meet, bool far, int* out) {
  __shared__ int values[kThreads];
  const unsigned own = threadIdx.x, other = far ? (own + 32) % kThreads : own ^ 1U;
  values[own] = static_cast<int>(own);
  if (meet == Meet::kBlock) __syncthreads();
  if (meet == Meet::kNamed) kernels::sync_threads<1>(kThreads);
  if (meet == Meet::kWarp) __syncwarp();
  out[own] = values[other];
  __syncthreads();
}

void run(Meet meet, bool far) {
  int out[kThreads] = {};
  launch(swap_kernel, {{1}, kThreads}, meet, far, &out[0]);
}

/// Thread 0 has the copy engine fill a slice that thread 32 reads, twice.
void copy_kernel(bool wait, bool give_back, kernels::TensorMap map, std::uint16_t* out) {
  __shared__ kernels::Barrier full, empty;
  auto* slice = kernels::dynamic_shared<std::uint16_t>();
  if (threadIdx.x == 0) {
    kernels::barrier_init(full, 1);
    kernels::barrier_init(empty, 1);
  }
  __syncthreads();
  for (unsigned round = 0; round < 2; ++round) {
    if (threadIdx.x == 0) {
      if (round > 0) kernels::barrier_wait(give_back ? empty : full, 0);
      kernels::barrier_expect(full, 256 * kernels::kTileRowBytes);
      kernels::copy_box(slice, map, full, 0, 0, 0, 0);
    }
    if (threadIdx.x == 32) {
      if (wait) kernels::barrier_wait(full, round);
      out[round] = slice[0];
      if (give_back) kernels::barrier_arrive(empty);
    }
    if (!wait) __syncwarp();  // lets the copy be asked for
  }
}

void run_copies(bool wait, bool give_back) {
  std::uint16_t element = 7, out[2] = {};
  kernels::TensorMap map{};
  map.x.data = &element;
  map.shape.S = map.shape.DH = 1;
  launch(copy_kernel, {{1}, kThreads, 256 * kernels::kTileRowBytes}, wait, give_back, map, &out[0]);
}

TEST(EmulatorRaces, BarriersPutThingsInOrder) {
  run(Meet::kBlock, true);
  run(Meet::kNamed, true);
  run(Meet::kWarp, false);
  run_copies(true, true);
}

TEST(EmulatorRaces, MissingOnesAreSeen) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto seen = testing::ExitedWithCode(66);  // TSAN_OPTIONS=exitcode
  EXPECT_EXIT(run(Meet::kNowhere, false), seen, "data race");
  EXPECT_EXIT(run(Meet::kWarp, true), seen, "data race");
  EXPECT_EXIT(run_copies(false, true), seen, "data race");
  EXPECT_EXIT(run_copies(true, false), seen, "data race");
}

}  // namespace
}  // namespace axlstm::emulator
