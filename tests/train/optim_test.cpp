#include "axlstm/train/optim.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::train {
namespace {

TEST(LearningRate, RisesToThePeakAndFallsToZero) {
  OptimOptions options;  // the paper's: 100 epochs, 10 of warm-up, batch 1024
  const double peak = 1.5e-4 * 4;
  EXPECT_DOUBLE_EQ(peak_learning_rate(options), peak);
  EXPECT_EQ(learning_rate(options, 0), 0);
  EXPECT_DOUBLE_EQ(learning_rate(options, 2.5), peak / 4);
  EXPECT_DOUBLE_EQ(learning_rate(options, 10), peak);
  EXPECT_NEAR(learning_rate(options, 9.999999), peak, 1e-9);
  EXPECT_DOUBLE_EQ(learning_rate(options, 55), peak / 2);
  EXPECT_NEAR(learning_rate(options, 32.5), peak * 0.5 * (1 + std::sqrt(0.5)), 1e-12);
  EXPECT_NEAR(learning_rate(options, 100), 0, 1e-18);
  EXPECT_NEAR(learning_rate(options, 101), 0, 1e-18);
}

TEST(LearningRate, WarmUpMayBeNothingOrAll) {
  OptimOptions options;
  options.warmup_epochs = 0;
  EXPECT_DOUBLE_EQ(learning_rate(options, 0), peak_learning_rate(options));
  options.warmup_epochs = options.epochs;
  EXPECT_DOUBLE_EQ(learning_rate(options, 50), peak_learning_rate(options) / 2);
  EXPECT_TRUE(std::isfinite(learning_rate(options, 100)));
}

/// A 3-D token, a matrix, its bias, a norm's weight, and a matrix that never gets a gradient.
struct NetImpl : torch::nn::Module {
  NetImpl() {
    const auto options = torch::kFloat64;
    register_parameter("token", torch::randn({1, 1, 3}, options));
    register_parameter("weight", torch::randn({2, 3}, options));
    register_parameter("bias", torch::randn({2}, options));
    register_parameter("norm", torch::randn({3}, options));
    register_parameter("idle", torch::randn({2, 2}, options));
  }
};

void set_gradients(NetImpl& net, int step) {
  torch::manual_seed(100 + step);
  for (auto& item : net.named_parameters()) {
    if (item.key() != "idle") item.value().mutable_grad() = torch::randn_like(item.value());
  }
}

TEST(AdamW, EqualsItsFormulasAndDecaysMatricesAndTokensOnly) {
  torch::manual_seed(0);
  NetImpl net;
  OptimOptions options;
  AdamW optimizer(net, options);
  struct Reference {
    torch::Tensor value, m, v;
  };
  std::map<std::string, Reference> expected;
  for (const auto& item : net.named_parameters()) {
    expected[item.key()] = {item.value().detach().clone(), torch::zeros_like(item.value()),
                            torch::zeros_like(item.value())};
  }
  const double rates[] = {0.1, 0.05, 0.2};
  for (int step = 1; step <= 3; ++step) {
    const double lr = rates[step - 1];
    set_gradients(net, step);
    for (auto& [name, reference] : expected) {
      if (name == "idle") continue;
      const auto g = net.named_parameters()[name].grad();
      const double decay = name == "token" || name == "weight" ? 0.05 : 0.0;
      reference.m = 0.9 * reference.m + 0.1 * g;
      reference.v = 0.95 * reference.v + 0.05 * g * g;
      const auto update =
          reference.m / (1 - std::pow(0.9, step)) / ((reference.v / (1 - std::pow(0.95, step))).sqrt() + 1e-8);
      reference.value = reference.value * (1 - lr * decay) - lr * update;
    }
    optimizer.step(lr);
    for (const auto& [name, reference] : expected) {
      EXPECT_LE(test::absolute_error(net.named_parameters()[name], reference.value), 1e-12)
          << name << ", step " << step;
    }
  }
}

/// What Mamba has beside NetImpl's.
struct ScanImpl : torch::nn::Module {
  ScanImpl() {
    register_parameter("A_log", torch::ones({2, 3}));
    register_parameter("weight", torch::ones({2, 3}));
  }
};

struct MixerImpl : torch::nn::Module {
  MixerImpl() { register_module("mixer", scan); }
  std::shared_ptr<ScanImpl> scan = std::make_shared<ScanImpl>();
};

TEST(AdamW, DecaysMambasRatesIfAsked) {
  for (const bool decay : {true, false}) {
    MixerImpl net;
    OptimOptions options;
    options.decay_A_log = decay;
    AdamW optimizer(net, options);
    for (auto& item : net.named_parameters()) item.value().mutable_grad() = torch::zeros_like(item.value());
    optimizer.step(0.1);
    const auto value = [&](const char* name) { return net.named_parameters()[name][0][0].item<float>(); };
    EXPECT_NEAR(value("mixer.weight"), 1 - 0.1 * 0.05, 1e-6);
    EXPECT_NEAR(value("mixer.A_log"), decay ? 1 - 0.1 * 0.05 : 1, 1e-6);
  }
  NetImpl without;
  OptimOptions options;
  options.decay_A_log = false;
  test::expect_usage_error([&] { AdamW(without, options); }, {"optim.decay_A_log", "model.arch=ssam"});
}

TEST(AdamW, ARateOfZeroChangesNothingButTheMoments) {
  NetImpl net;
  const auto before = net.named_parameters()["weight"].detach().clone();
  AdamW optimizer(net, {});
  set_gradients(net, 1);
  optimizer.step(0);
  EXPECT_TRUE(net.named_parameters()["weight"].equal(before));
}

TEST(AdamW, AReloadedStateGoesOnBitForBit) {
  torch::manual_seed(0);
  NetImpl net, copy;
  AdamW optimizer(net, {}), other(copy, {});
  set_gradients(net, 1);
  optimizer.step(0.1);
  std::map<std::string, torch::Tensor> state;
  for (const auto& [name, tensor] : optimizer.state()) state[name] = tensor.clone();
  EXPECT_EQ(state.size(), 15u);
  EXPECT_EQ(state.at("step.weight").item<float>(), 1);
  other.load_state(state, "x");
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : copy.named_parameters()) item.value().copy_(net.named_parameters()[item.key()]);
  }
  set_gradients(net, 2);
  set_gradients(copy, 2);
  optimizer.step(0.1);
  other.step(0.1);
  for (const auto& item : net.named_parameters())
    EXPECT_TRUE(copy.named_parameters()[item.key()].equal(item.value())) << item.key();
}

TEST(AdamW, AStateThatDoesNotFitIsNamed) {
  NetImpl net;
  AdamW optimizer(net, {});
  std::map<std::string, torch::Tensor> state;
  for (const auto& [name, tensor] : optimizer.state()) state[name] = tensor.clone();
  auto wrong = state;
  wrong["exp_avg.weight"] = torch::zeros({3, 3});
  test::expect_error([&] { optimizer.load_state(wrong, "run, step 7"); },
                     {"run, step 7", "exp_avg.weight", "[3, 3]", "[2, 3]"});
  wrong = state;
  wrong.erase("step.bias");
  test::expect_error([&] { optimizer.load_state(wrong, "run"); }, {"step.bias", "missing"});
}

TEST(LayerScale, FallsFromTheHeadToThePatches) {
  EXPECT_EQ(layer_scale("head.0.weight", 3, 0.5), 1);
  EXPECT_EQ(layer_scale("encoder_norm.weight", 3, 0.5), 1);
  EXPECT_EQ(layer_scale("blocks.2.layer.proj_up.weight", 3, 0.5), 0.5);
  EXPECT_EQ(layer_scale("blocks.0.norm.weight", 3, 0.5), 0.125);
  EXPECT_EQ(layer_scale("patch_embed.proj.weight", 3, 0.5), 0.0625);
  EXPECT_EQ(layer_scale("cls_token", 3, 0.5), 0.0625);
  EXPECT_EQ(layer_scale("blocks.11.norm.weight", 12, 0.75), 0.75) << "two digits";
}

TEST(AdamW, LayersMoveByTheirRates) {
  // The first step of Adam is the rate itself, whatever the gradient, to eps.
  torch::nn::Module net;
  for (const char* name : {"patch_embed", "cls_token"}) net.register_parameter(name, torch::zeros({3}));
  auto blocks = net.register_module("blocks", std::make_shared<torch::nn::Module>("blocks"));
  for (const char* index : {"0", "1"})
    blocks->register_module(index, std::make_shared<torch::nn::Module>(index))
        ->register_parameter("weight", torch::zeros({3}));
  auto frozen = net.register_parameter("frozen", torch::zeros({3}), /*requires_grad=*/false);
  auto head = net.register_module("head", std::make_shared<torch::nn::Module>("head"));
  head->register_parameter("weight", torch::zeros({3}));
  OptimOptions options;
  options.layer_decay = 0.5;
  options.weight_decay = 0;
  AdamW optimizer(net, options);
  for (auto& parameter : net.parameters())
    if (parameter.requires_grad()) parameter.mutable_grad() = torch::full({3}, 0.7);
  optimizer.step(0.1);
  const auto moved = [&](const std::string& name) { return -net.named_parameters()[name][0].item<double>(); };
  EXPECT_NEAR(moved("head.weight"), 0.1, 1e-6);
  EXPECT_NEAR(moved("blocks.1.weight"), 0.05, 1e-6);
  EXPECT_NEAR(moved("blocks.0.weight"), 0.025, 1e-6);
  EXPECT_NEAR(moved("cls_token"), 0.0125, 1e-6);
  EXPECT_EQ(moved("frozen"), 0);
  for (const auto& [name, tensor] : optimizer.state()) EXPECT_EQ(name.find("frozen"), std::string::npos) << name;
}

TEST(GradientNorm, IsThatOfAllGradientsTogether) {
  NetImpl net;
  EXPECT_THROW(gradient_norm(net), Error);
  set_gradients(net, 1);
  double squares = 0;
  for (const auto& parameter : net.parameters()) {
    if (parameter.grad().defined()) squares += parameter.grad().square().sum().item<double>();
  }
  EXPECT_NEAR(gradient_norm(net).item<double>(), std::sqrt(squares), 1e-12);
}

}  // namespace
}  // namespace axlstm::train
