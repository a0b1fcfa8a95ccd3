#include "axlstm/train/ema.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/expect_error.h"

namespace axlstm::train {
namespace {

struct Net : torch::nn::Module {
  Net() {
    weight = register_parameter("weight", torch::zeros({2}));
    table = register_buffer("table", torch::ones({3}));
  }
  void set(double value) {
    const torch::NoGradGuard no_grad;
    weight.fill_(value);
  }
  torch::Tensor weight, table;
};

TEST(Ema, FollowsTheWeightsByItsDecay) {
  Net net;
  Ema ema(net, 0.9);
  net.set(1);
  ema.update();
  EXPECT_NEAR(ema.state()[0].second[0].item<double>(), 0.1, 1e-7);
  ema.update();
  EXPECT_NEAR(ema.state()[0].second[0].item<double>(), 0.19, 1e-7);
  EXPECT_EQ(net.weight[0].item<double>(), 1);
  EXPECT_EQ(ema.state()[1].first, "table");
}

TEST(Ema, GoesOnFromItsState) {
  Net net;
  Ema ema(net, 0.5), other(net, 0.5);
  net.set(1);
  ema.update();
  std::map<std::string, torch::Tensor> saved;
  for (const auto& [name, tensor] : ema.state()) saved[name] = tensor.clone();
  other.load_state(saved, "run");
  EXPECT_TRUE(other.state()[0].second.equal(ema.state()[0].second));
  test::expect_error([&] { other.load_state({}, "run, step 3"); }, {"run, step 3", "weight", "train.ema_decay"});
}

TEST(Ema, SwapsAveragesAndWeightsAndBack) {
  Net net;
  Ema ema(net, 0.75);
  net.set(1);
  ema.update();
  ema.swap();
  EXPECT_EQ(net.weight[0].item<double>(), 0.25);
  EXPECT_EQ(ema.state()[0].second[0].item<double>(), 1);
  ema.swap();
  EXPECT_EQ(net.weight[0].item<double>(), 1);
  EXPECT_EQ(ema.state()[0].second[0].item<double>(), 0.25);
}

TEST(Ema, OffItKeepsNothing) {
  Net net;
  Ema ema(net, 0);
  ema.update();
  EXPECT_TRUE(ema.state().empty());
  EXPECT_NO_THROW(ema.load_state({}, "run"));
}

}  // namespace
}  // namespace axlstm::train
