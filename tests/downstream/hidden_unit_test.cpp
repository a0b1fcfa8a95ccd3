// The fused hidden layer against LibTorch's operators: every bit of output, gradients, statistics and random stream.
#include "../src/downstream/hidden_unit.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "../src/downstream/hidden_unit_avx2.h"

namespace axlstm::downstream {
namespace {

struct Outcome {
  torch::Tensor y, grad_x, grad_weight, grad_bias, running_mean, running_var, next_draws;
};

template <typename Function>
Outcome run(const Function& function, const torch::Tensor& input, const torch::Tensor& grad_y, double p, int skip) {
  const std::int64_t C = input.size(1);
  torch::manual_seed(3);
  const BatchNorm norm{torch::randn({C}).requires_grad_(), torch::randn({C}).requires_grad_(), torch::randn({C}),
                       torch::rand({C})};
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  if (skip > 0) torch::rand({skip}, generator);  // so that the draws of a value may lie in two states of the twister
  const torch::Tensor x = input.clone().requires_grad_();
  const torch::Tensor y = function(x, norm, p, generator);
  y.backward(grad_y);
  return {y.detach(),        x.grad(),         norm.weight.grad(),         norm.bias.grad(),
          norm.running_mean, norm.running_var, torch::rand({5}, generator)};
}

TEST(HiddenUnitTest, FusedEqualsOperatorsToTheBit) {
  if (!avx2::supported()) GTEST_SKIP() << "needs a processor with AVX2 and FMA";
  at::set_num_threads(1);
  torch::manual_seed(1);
  for (const auto& [B, C, p, skip] :
       {std::tuple{1024, 1024, 0.1, 0}, {125, 1024, 0.25, 0}, {776, 128, 0.1, 1}, {2, 64, 0.5, 3}, {37, 8, 0.1, 0}}) {
    SCOPED_TRACE(testing::Message() << "B " << B << " C " << C << " p " << p << " skip " << skip);
    const torch::Tensor x = torch::randn({B, C}) * 3.0 + 1.0, grad_y = torch::randn({B, C});
    const Outcome fused = run(norm_dropout_relu, x, grad_y, p, skip);
    const Outcome plain = run(norm_dropout_relu_by_operators, x, grad_y, p, skip);
    EXPECT_TRUE(torch::equal(fused.y, plain.y));
    EXPECT_TRUE(torch::equal(fused.grad_x, plain.grad_x));
    EXPECT_TRUE(torch::equal(fused.grad_weight, plain.grad_weight));
    EXPECT_TRUE(torch::equal(fused.grad_bias, plain.grad_bias));
    EXPECT_TRUE(torch::equal(fused.running_mean, plain.running_mean));
    EXPECT_TRUE(torch::equal(fused.running_var, plain.running_var));
    EXPECT_TRUE(torch::equal(fused.next_draws, plain.next_draws));
  }
}

TEST(HiddenUnitTest, KeepsWhatIsNoNumber) {
  torch::Tensor x = torch::randn({4, 8});
  x[2][5] = std::numeric_limits<float>::quiet_NaN();
  const Outcome outcome = run(norm_dropout_relu, x, torch::ones({4, 8}), 0.1, 0);
  EXPECT_TRUE(outcome.y.index({torch::indexing::Slice(), 5}).isnan().all().item<bool>());
  EXPECT_FALSE(outcome.y.index({torch::indexing::Slice(), 4}).isnan().any().item<bool>());
}

}  // namespace
}  // namespace axlstm::downstream
