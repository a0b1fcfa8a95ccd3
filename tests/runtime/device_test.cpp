#include "axlstm/runtime/device.h"

#include <gtest/gtest.h>

namespace axlstm::runtime {
namespace {

TEST(PeakMemory, OfThisProcess) {
  const auto memory = peak_memory_gb(torch::kCPU);
  ASSERT_TRUE(memory);
  EXPECT_GT(*memory, 0.01);
  EXPECT_EQ(device_name(torch::kCPU), "");
}

TEST(CpuThreads, AreThoseAskedFor) { EXPECT_EQ(cpu_threads(3, 2), 3); }

}  // namespace
}  // namespace axlstm::runtime
