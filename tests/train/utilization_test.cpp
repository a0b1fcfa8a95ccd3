#include "axlstm/train/utilization.h"

#include <gtest/gtest.h>

namespace axlstm::train {
namespace {

TEST(PeakFlops, ByNameAndPrecision) {
  EXPECT_EQ(peak_flops("NVIDIA H100 80GB HBM3", runtime::Precision::kBf16), 989e12);
  EXPECT_EQ(peak_flops("NVIDIA H100 80GB HBM3", runtime::Precision::kTf32), 494.5e12);
  EXPECT_EQ(peak_flops("NVIDIA H100 PCIe", runtime::Precision::kFp16), 756e12);
  EXPECT_EQ(peak_flops("NVIDIA A100-SXM4-40GB", runtime::Precision::kBf16), 312e12);
  EXPECT_EQ(peak_flops("NVIDIA L40S", runtime::Precision::kBf16), 362e12);
  EXPECT_EQ(peak_flops("NVIDIA L40", runtime::Precision::kBf16), 181e12);
  EXPECT_EQ(peak_flops("NVIDIA GH200 480GB", runtime::Precision::kBf16), 989e12);
  EXPECT_EQ(peak_flops("NVIDIA GB200", runtime::Precision::kBf16), 2500e12);
  EXPECT_FALSE(peak_flops("NVIDIA RTX A4000", runtime::Precision::kBf16));
  EXPECT_FALSE(peak_flops("NVIDIA H100 80GB HBM3", runtime::Precision::kFp32));
  EXPECT_FALSE(peak_flops("", runtime::Precision::kBf16));
  EXPECT_FALSE(peak_flops("Some GPU", runtime::Precision::kBf16));
}

}  // namespace
}  // namespace axlstm::train
