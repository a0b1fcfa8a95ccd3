// Tensors that nobody has written to are NaN in this program: a kernel that reads what was never written shows in its
// results. (compute-sanitizer's initcheck cannot tell: it does not follow what cuBLAS writes.)
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace axlstm {
namespace {

class EmptyIsNaN : public testing::Environment {
 public:
  void SetUp() override {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
    at::globalContext().setDeterministicFillUninitializedMemory(true);
  }
};

const testing::Environment* const kEnvironment = testing::AddGlobalTestEnvironment(new EmptyIsNaN);

TEST(EmptyIsNaN, InAllTypesOfTheKernels) {
  for (const auto type : {torch::kFloat32, torch::kFloat16, torch::kBFloat16}) {
    EXPECT_TRUE(torch::empty({3, 5}, type).isnan().all().item<bool>());
    EXPECT_TRUE(torch::empty_like(torch::zeros({3, 5}, type)).isnan().all().item<bool>());
  }
}

}  // namespace
}  // namespace axlstm
