#include "axlstm/runtime/arithmetic.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/expect_error.h"

namespace axlstm::runtime {
namespace {

TEST(Precision, AutoDependsOnTheDevice) {
  EXPECT_EQ(resolve_precision(Precision::kAuto, torch::kCPU), Precision::kFp32);
  EXPECT_EQ(resolve_precision(Precision::kAuto, torch::kCUDA), Precision::kBf16);
  EXPECT_EQ(resolve_precision(Precision::kFp16, torch::kCPU), Precision::kFp16);
  EXPECT_EQ(compute_dtype(Precision::kTf32), torch::kFloat32);
  test::expect_usage_error([] { resolve_precision(Precision::kTf32, torch::kCPU); }, {"train.precision", "fp32"});
}

TEST(Autocast, LowersMatrixProductsForItsScopeOnly) {
  const auto a = torch::randn({4, 4}), b = torch::randn({4, 4});
  {
    const Autocast outer(torch::kCPU, torch::kBFloat16, true);
    EXPECT_EQ(a.matmul(b).scalar_type(), torch::kBFloat16);
    {
      const Autocast inner(torch::kCPU, torch::kBFloat16, false);
      EXPECT_EQ(a.matmul(b).scalar_type(), torch::kFloat32);
    }
    EXPECT_EQ(a.matmul(b).scalar_type(), torch::kBFloat16);
  }
  EXPECT_EQ(a.matmul(b).scalar_type(), torch::kFloat32);
  EXPECT_FALSE(at::autocast::is_autocast_enabled(torch::kCPU));
}

TEST(Autocast, WeightsChangedAfterItsScopeAreConvertedAgain) {
  auto weight = torch::ones({2, 2}, torch::requires_grad());
  const auto x = torch::ones({1, 2});
  const auto product = [&] {
    const Autocast autocast(torch::kCPU, torch::kBFloat16, true);
    return x.matmul(weight)[0][0].item<float>();
  };
  EXPECT_EQ(product(), 2);
  {
    const torch::NoGradGuard no_grad;
    weight.fill_(3);
  }
  EXPECT_EQ(product(), 6);
}

TEST(Arithmetic, IsResolvedOnceAndAutocastsOnlyWhereItIsNarrow) {
  const auto a = torch::randn({4, 4});
  const Arithmetic exact(Precision::kAuto, torch::kCPU), half(Precision::kFp16, torch::kCPU);
  EXPECT_EQ(exact.precision, Precision::kFp32);
  {
    const auto autocast = exact.autocast();
    EXPECT_EQ(a.matmul(a).scalar_type(), torch::kFloat32);
  }
  const auto autocast = half.autocast();
  EXPECT_EQ(a.matmul(a).scalar_type(), torch::kHalf);
}

}  // namespace
}  // namespace axlstm::runtime
