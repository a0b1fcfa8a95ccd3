#include "axlstm/distributed/gradient_reducer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <string>
#include <vector>

#include "distributed/ranks.h"
#include "support/expect_error.h"

namespace axlstm::distributed {
namespace {

/// Weights of several sizes, one of which the loss does not see.
struct NetImpl : torch::nn::Module {
  NetImpl() {
    for (const std::int64_t size : {3, 5, 2, 4}) {
      weights.push_back(register_parameter("w" + std::to_string(weights.size()), torch::zeros({size})));
    }
  }

  /// Its gradient is `factor` · (index + 1) in every place of a weight that is seen.
  torch::Tensor loss(double factor) const {
    auto sum = torch::zeros({});
    for (std::size_t n = 0; n < weights.size(); ++n) {
      if (n != kIdle) sum = sum + factor * static_cast<double>(n + 1) * weights[n].sum();
    }
    return sum;
  }

  static constexpr std::size_t kIdle = 2;
  std::vector<torch::Tensor> weights;
};

DistributedOptions with(bool overlap, double bucket_mb) {
  DistributedOptions options;
  options.overlap = overlap;
  options.bucket_mb = bucket_mb;
  return options;
}

TEST(GradientReducerTest, SumsTheGradientsOfAllRanksAndOfAllPieces) {
  constexpr double kSmallerThanAWeight = 1e-6, kOfTwoWeights = 32.0 / (1 << 20), kOfAll = 25;
  for (const bool overlap : {true, false}) {
    for (const double bucket_mb : {kSmallerThanAWeight, kOfTwoWeights, kOfAll}) {
      std::vector<NetImpl> nets(3);
      test::run_ranks(3, [&](ProcessGroup& group) {
        NetImpl& net = nets[static_cast<std::size_t>(group.rank())];
        GradientReducer reducer(net, group, with(overlap, bucket_mb));
        for (int step = 0; step < 2; ++step) {  // a second time, with buckets that are in use already
          net.zero_grad();
          const double share = std::pow(10.0, static_cast<double>(group.rank()));
          net.loss(share).backward();  // a piece that only accumulates
          reducer.begin();
          net.loss(share).backward();
          reducer.finish();
          EXPECT_GE(reducer.seconds_waited(), 0);
        }
      });
      for (const NetImpl& net : nets) {
        for (std::size_t n = 0; n < net.weights.size(); ++n) {
          const double expected = n == NetImpl::kIdle ? 0 : 2 * 111 * static_cast<double>(n + 1);
          EXPECT_TRUE(net.weights[n].grad().equal(torch::full_like(net.weights[n], expected)))
              << "weight " << n << ", buckets of " << bucket_mb << " MB: " << net.weights[n].grad();
        }
      }
    }
  }
}

TEST(GradientReducerTest, IsForFloat32AndLeavesItsModuleWithoutHooks) {
  test::run_ranks(1, [](ProcessGroup& group) {
    NetImpl net;
    { const GradientReducer reducer(net, group, {}); }
    net.loss(1).backward();  // would reach a reducer that is gone
    EXPECT_EQ(net.weights[0].grad()[0].item<float>(), 1);
    net.to(torch::kFloat64);
    test::expect_error([&] { GradientReducer(net, group, {}); }, {"gradient reducer", "float32"});
  });
}

}  // namespace
}  // namespace axlstm::distributed
