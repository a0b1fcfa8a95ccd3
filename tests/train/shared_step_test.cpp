// Ranks as threads of one process: the step that they make together.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <torch/torch.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "axlstm/train/step.h"
#include "support/expect_error.h"
#include "support/golden.h"
#include "support/ports.h"

namespace axlstm::train {
namespace {

using Gradients = std::map<std::string, torch::Tensor>;

struct Outcome {
  StepResult result;
  Gradients gradients;
};

launch::Rank new_rank(std::int64_t number, std::int64_t count, int port) {
  launch::Rank rank;
  rank.rank = rank.local_rank = number;
  rank.world_size = count;
  rank.port = port;
  rank.launcher = "a test";
  rank.variable = "WORLD_SIZE";
  return rank;
}

/// Runs `work` as each of `count` ranks at once.
void run_ranks(std::int64_t count, const std::function<void(distributed::ProcessGroup&)>& work) {
  const int port = test::free_port();
  std::vector<std::thread> threads;
  for (std::int64_t number = 0; number < count; ++number) {
    threads.emplace_back([&, number] {
      distributed::ProcessGroup group(new_rank(number, count, port), torch::kCPU, {});
      work(group);
      group.leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

Gradients gradients_of(const torch::nn::Module& module) {
  Gradients gradients;
  for (const auto& item : module.named_parameters()) gradients[item.key()] = item.value().grad().clone();
  return gradients;
}

class SharedStepTest : public testing::Test {
 protected:
  SharedStepTest() {
    spec_.model.size = model::Size::kCustom;
    spec_.model.dim = 16;
    spec_.model.depth = 2;
    spec_.model = model::resolve(spec_.model);
    spec_.optim.global_batch = 7;
    torch::manual_seed(0);
    spectrogram_ = torch::randn({7, 1, 200, 80});
    noise_ = torch::rand({7, 250});
  }

  std::unique_ptr<objective::Objective> new_model() const {
    torch::manual_seed(1);
    return objective::make_objective(spec_);
  }

  Outcome alone() const {
    const auto model = new_model();
    AdamW optimizer(model->module(), spec_.optim);
    const runtime::Arithmetic arithmetic(spec_.train.precision, torch::kCPU);
    const auto result = training_step({*model, optimizer, arithmetic, spec_}, {spectrogram_, {}, {}}, noise_, 1e-3);
    return {result, gradients_of(model->module())};
  }

  /// The step by ranks that take `parts` clips of the batch.
  std::vector<Outcome> together(const std::vector<std::int64_t>& parts, std::int64_t who_stops = -1) const {
    std::vector<std::unique_ptr<objective::Objective>>
        models;  // made one after the other: they draw from one generator
    for (std::size_t n = 0; n < parts.size(); ++n) models.push_back(new_model());
    std::vector<Outcome> outcomes(parts.size());
    run_ranks(static_cast<std::int64_t>(parts.size()), [&](distributed::ProcessGroup& group) {
      const auto rank = static_cast<std::size_t>(group.rank());
      std::int64_t first = 0;
      for (std::size_t n = 0; n < rank; ++n) first += parts[n];
      auto& model = models[rank]->module();
      AdamW optimizer(model, spec_.optim);
      distributed::GradientReducer reducer(model, group, spec_.distributed);
      Ranks ranks{group, reducer};
      const StepSetup setup{*models[rank], optimizer, {spec_.train.precision, torch::kCPU}, spec_, nullptr, &ranks};
      const data::Batch part{spectrogram_.narrow(0, first, parts[rank]), {}, {}};
      for (int repeat = 0; repeat < 2; ++repeat) {  // a second time, with buckets that are in use already
        outcomes[rank].result = training_step(setup, part, noise_.narrow(0, first, parts[rank]),
                                              repeat == 0 ? 0.0 : 1e-3, group.rank() == who_stops);
      }
      outcomes[rank].gradients = gradients_of(model);
    });
    return outcomes;
  }

  config::RunConfig spec_;
  torch::Tensor spectrogram_, noise_;
};

TEST_F(SharedStepTest, GivesAllRanksTheGradientsOfTheWholeBatch) {
  const auto whole = alone();
  for (const bool overlap : {true, false}) {
    for (const double bucket_mb : {0.001, 0.05, 25.0}) {
      for (const std::int64_t device_batch : {0, 2}) {
        spec_.distributed.overlap = overlap;
        spec_.distributed.bucket_mb = bucket_mb;
        spec_.train.device_batch = device_batch;
        const auto outcomes = together({2, 5});
        for (const auto& outcome : outcomes) {
          EXPECT_NEAR(outcome.result.loss, whole.result.loss, 1e-5 * whole.result.loss);
          EXPECT_FALSE(outcome.result.stop);
          for (const auto& [name, gradient] : whole.gradients) {
            const double scale = gradient.abs().max().item<double>() + 1e-3 * whole.result.grad_norm;
            EXPECT_LE(test::absolute_error(outcome.gradients.at(name), gradient), 1e-5 * scale) << name;
          }
        }
        EXPECT_EQ(outcomes[0].result.loss, outcomes[1].result.loss);
        EXPECT_EQ(outcomes[0].result.grad_norm, outcomes[1].result.grad_norm);
        EXPECT_TRUE(outcomes[0].gradients.at("cls_token").equal(outcomes[1].gradients.at("cls_token")));
      }
    }
  }
}

TEST_F(SharedStepTest, AllSkipWhatIsNotFiniteInOneRank) {
  for (const float damage : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    spectrogram_[6][0][0][0] = damage;
    for (const auto& outcome : together({3, 2, 2})) {
      EXPECT_TRUE(outcome.result.skipped);
      EXPECT_FALSE(std::isfinite(outcome.result.loss));
    }
  }
}

TEST_F(SharedStepTest, AllLearnThatOneIsAskedToStop) {
  for (const auto& outcome : together({4, 3}, /*who_stops=*/1)) EXPECT_TRUE(outcome.result.stop);
}

TEST(ProcessGroupTest, GathersTextsAndGivesRank0sValues) {
  std::vector<std::vector<std::string>> texts(3);
  std::vector<torch::Tensor> values(3);
  run_ranks(3, [&](distributed::ProcessGroup& group) {
    const auto rank = static_cast<std::size_t>(group.rank());
    EXPECT_EQ(group.sharers_of_cores(), 3);
    group.gather("first");
    texts[rank] = group.gather("text " + std::to_string(rank) + std::string(100000, '.'));
    values[rank] = torch::full({2, 3}, static_cast<double>(rank + 1));
    const auto counts = torch::full({2}, group.rank() + 5, torch::kInt64);
    group.broadcast({values[rank], counts});
    EXPECT_TRUE(counts.equal(torch::full({2}, 5, torch::kInt64)));
  });
  for (std::size_t rank = 0; rank < 3; ++rank) {
    ASSERT_EQ(texts[rank].size(), 3U);
    for (std::size_t other = 0; other < 3; ++other)
      EXPECT_EQ(texts[rank][other], "text " + std::to_string(other) + std::string(100000, '.'));
    EXPECT_TRUE(values[rank].equal(torch::ones({2, 3})));
  }
}

TEST(ProcessGroupTest, ARankThatDoesNotComeIsNamed) {
  distributed::DistributedOptions options;
  options.timeout_s = 1;
  launch::Rank rank = new_rank(0, 2, test::free_port());
  test::expect_error([&] { distributed::ProcessGroup(rank, torch::kCPU, options); },
                     {"rank 1 of 2 did not come within 1 s", "a test", "to train alone", "env -u WORLD_SIZE"});
  rank.rank = 1;
  test::expect_error([&] { distributed::ProcessGroup(rank, torch::kCPU, options); },
                     {"rank 0 did not come within 1 s", "127.0.0.1:", "a test", "to train alone"});
}

TEST(ProcessGroupTest, AHostThatNobodyKnowsAndATakenPortAreSaidAtOnce) {
  launch::Rank rank = new_rank(1, 2, test::free_port());
  rank.address = "no-such-host.invalid";
  test::expect_error([&] { distributed::ProcessGroup(rank, torch::kCPU, {}); },
                     {"no-such-host.invalid", "a test", "MASTER_ADDR"});
  const int taken = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<std::uint16_t>(rank.port));
  ASSERT_EQ(::bind(taken, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  rank = new_rank(0, 2, static_cast<int>(rank.port));
  test::expect_error([&] { distributed::ProcessGroup(rank, torch::kCPU, {}); },
                     {"cannot listen at port " + std::to_string(rank.port), "Address already in use", "MASTER_PORT"});
  ::close(taken);
}

TEST(ProcessGroupTest, AStopIsHeardWhileRanksWaitForEachOther) {
  const int port = test::free_port();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  std::atomic<int> stopped{0};
  for (const std::int64_t number : {0, 1}) {  // rank 2 never comes, and only rank 1 is told
    threads.emplace_back([&, number] {
      try {
        distributed::ProcessGroup(new_rank(number, 3, port), torch::kCPU, {}, number == 1 ? &stop : nullptr);
      } catch (const distributed::StoppedEarly&) {
        ++stopped;
      }
    });
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(port);
  const auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  while (!store->check({"axlstm/hello/1"})) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stopped, 2);
}

TEST(ProcessGroupTest, AStoreThatOutlivesItsRanksMisleadsNobody) {
  c10d::TCPStoreOptions options;
  options.isServer = true;
  options.waitWorkers = false;
  const int port = options.port = static_cast<std::uint16_t>(test::free_port());
  const auto kept = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  c10d::Store& store = *kept;  // which takes texts
  // What attempts that were killed may have left: a question, an answer to it, everybody known.
  store.set("axlstm/challenge", "old");
  store.set("axlstm/hello/1", "old/someone");
  store.set("axlstm/known/old", "\nold/someone\n");
  store.set("axlstm/seen/old/1", "old/someone");
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::vector<std::vector<std::string>> texts(3);
    std::vector<std::thread> threads;
    for (const std::int64_t number : {2, 1, 0}) {
      threads.emplace_back([&, number] {
        launch::Rank rank = new_rank(number, 3, port);
        rank.store_is_kept = true;
        distributed::ProcessGroup group(rank, torch::kCPU, {});
        texts[static_cast<std::size_t>(number)] = group.gather("attempt " + std::to_string(attempt));
        group.leave();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& seen : texts) EXPECT_EQ(seen, std::vector<std::string>(3, "attempt " + std::to_string(attempt)));
  }
}

}  // namespace
}  // namespace axlstm::train
