#include "axlstm/train/grad_scaler.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "support/expect_error.h"

namespace axlstm::train {
namespace {

struct OneWeight : torch::nn::Module {
  OneWeight() { weight = register_parameter("weight", torch::zeros({2})); }
  torch::Tensor weight;
};

float scale_of(const GradScaler& scaler) { return scaler.state()[0].second.item<float>(); }

TEST(GradScaler, GradientsAreThoseOfTheUnscaledLoss) {
  OneWeight module;
  GradScaler scaler(torch::kCPU, true);
  scaler.scale((module.weight * torch::tensor({2.0F, 3.0F})).sum()).backward();
  EXPECT_EQ(module.weight.grad()[0].item<float>(), 2 * 65536.0F);
  scaler.unscale(module);
  EXPECT_TRUE(module.weight.grad().equal(torch::tensor({2.0F, 3.0F})));
}

TEST(GradScaler, OverflowHalvesTheScaleAndTwoThousandGoodUpdatesDoubleIt) {
  GradScaler scaler(torch::kCPU, true);
  scaler.update(true);
  EXPECT_EQ(scale_of(scaler), 32768);
  for (int n = 0; n < 1999; ++n) scaler.update(false);
  EXPECT_EQ(scale_of(scaler), 32768);
  scaler.update(false);
  EXPECT_EQ(scale_of(scaler), 65536);
}

TEST(GradScaler, ItsStateGoesOnWhereItWas) {
  GradScaler scaler(torch::kCPU, true);
  scaler.update(true);
  scaler.update(false);
  std::map<std::string, torch::Tensor> saved;
  for (const auto& [name, tensor] : scaler.state()) saved[name] = tensor.clone();
  GradScaler other(torch::kCPU, true);
  other.load_state(saved, "run");
  EXPECT_EQ(scale_of(other), 32768);
  EXPECT_EQ(other.state()[1].second.item<int>(), 1);
  saved.erase("scaler.scale");
  test::expect_error([&] { other.load_state(saved, "run, step 7"); }, {"run, step 7", "scaler.scale"});
}

TEST(GradScaler, WhereItIsNotNeededItDoesNothing) {
  OneWeight module;
  GradScaler scaler(torch::kCPU, false);
  scaler.scale(module.weight.sum()).backward();
  scaler.unscale(module);
  scaler.update(true);
  EXPECT_TRUE(module.weight.grad().equal(torch::ones({2})));
  EXPECT_TRUE(scaler.state().empty());
  EXPECT_NO_THROW(scaler.load_state({}, "run"));
}

}  // namespace
}  // namespace axlstm::train
