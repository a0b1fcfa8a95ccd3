#include "axlstm/train/trainer.h"

#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "axlstm/core/files.h"
#include "axlstm/io/safetensors.h"
#include "data/clips.h"
#include "support/expect_error.h"

namespace axlstm::train {
namespace {

namespace fs = std::filesystem;

class TrainerTest : public testing::Test {
 protected:
  /// Three epochs of four steps; clips of all lengths, so that crops, tiling and long reductions take part.
  config::RunConfig spec(const std::string& name) const {
    config::RunConfig spec;
    spec.data = clips_.options();
    spec.data.workers = 2;
    spec.model.size = model::Size::kCustom;
    spec.model.dim = 16;
    spec.model.depth = 2;
    spec.model.expansion = 2;
    spec.model.flip = true;
    spec.model = model::resolve(spec.model);
    spec.optim.base_lr = 0.05;
    spec.optim.global_batch = 2;
    spec.optim.epochs = 3;
    spec.optim.warmup_epochs = 1;
    spec.train.run_dir = (folder_.path() / name).string();
    spec.train.device = runtime::DeviceChoice::kCpu;
    spec.train.picture_every_steps = 5;
    return spec;
  }

  static TrainingOutcome train(const config::RunConfig& spec) {
    const std::atomic<bool> stop{false};
    return Trainer(spec).run(stop);
  }

  /// Trains until the first record is written, then stops.
  static TrainingOutcome train_a_little(const config::RunConfig& spec) {
    std::atomic<bool> stop{false};
    std::atomic<bool> done{false};
    std::thread watcher([&] {
      const fs::path metrics = fs::path(spec.train.run_dir) / "metrics.jsonl";
      std::error_code missing;
      while (!done && (!fs::exists(metrics) || fs::file_size(metrics, missing) == 0)) std::this_thread::yield();
      stop = true;
    });
    const TrainingOutcome status = Trainer(spec).run(stop);
    done = true;
    watcher.join();
    return status;
  }

  /// Step, loss, rate and norm of every record.
  static std::vector<std::vector<double>> records(const config::RunConfig& spec) {
    std::vector<std::vector<double>> all;
    std::istringstream lines(read_file(fs::path(spec.train.run_dir) / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line);
      all.push_back({record.at("step"), record.at("loss"), record.at("lr"), record.at("grad_norm")});
    }
    return all;
  }

  static void expect_same_end(const config::RunConfig& actual, const config::RunConfig& expected) {
    EXPECT_EQ(records(actual), records(expected));
    const auto a = checkpoints::load_newest_checkpoint(actual.train.run_dir),
               b = checkpoints::load_newest_checkpoint(expected.train.run_dir);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(a->step, b->step);
    for (const auto& [name, tensor] : b->model) EXPECT_TRUE(a->model.at(name).equal(tensor)) << name;
    for (const auto& [name, tensor] : b->optimizer) EXPECT_TRUE(a->optimizer.at(name).equal(tensor)) << name;
  }

  test::Clips clips_{{2.5, 6.0, 0.7, 8.0, 2.0, 9.0, 3.0, 2.1, 5.0}};
  test::TemporaryFolder folder_;
};

TEST_F(TrainerTest, ARunGoesToItsEndAndLeavesItsFiles) {
  const auto spec = this->spec("whole");
  EXPECT_EQ(train(spec), TrainingOutcome::kFinished);
  const auto all = records(spec);
  ASSERT_EQ(all.size(), 12u);
  EXPECT_EQ(all[0][2], 0);  // the first step's rate
  EXPECT_DOUBLE_EQ(all[4][2], peak_learning_rate(spec.optim));
  EXPECT_LT(all.back()[1], all.front()[1]);
  const fs::path run = spec.train.run_dir;
  for (const char* file : {"pictures/step-00000000.png", "pictures/step-00000005.png", "pictures/step-00000012.png",
                           "checkpoints/step-00000012/model.safetensors"}) {
    EXPECT_TRUE(fs::exists(run / file)) << file;
  }
  EXPECT_EQ(checkpoints::load_newest_checkpoint(run)->config_yaml, config::dump(spec));
}

TEST_F(TrainerTest, AStoppedAndResumedRunEndsWithTheSameBits) {
  const auto whole = spec("whole"), pieces = spec("pieces");
  ASSERT_EQ(train(whole), TrainingOutcome::kFinished);
  ASSERT_EQ(train_a_little(pieces), TrainingOutcome::kInterrupted);
  EXPECT_LT(records(pieces).size(), 12u);
  ASSERT_EQ(train(pieces), TrainingOutcome::kFinished);
  expect_same_end(pieces, whole);
}

TEST_F(TrainerTest, ARunThatLostItsLastStepsMakesThemAgain) {
  auto whole = spec("whole"), pieces = spec("pieces");
  ASSERT_EQ(train(whole), TrainingOutcome::kFinished);
  pieces.train.max_steps = 7;
  pieces.train.save_every_steps = 3;
  ASSERT_EQ(train(pieces), TrainingOutcome::kFinished);
  fs::remove_all(fs::path(pieces.train.run_dir) / "checkpoints" /
                 "step-00000007");  // as if it had been killed: 6 is the last
  pieces.train.max_steps = 0;
  ASSERT_EQ(train(pieces), TrainingOutcome::kFinished);
  expect_same_end(pieces, whole);
}

TEST_F(TrainerTest, TheNumberOfWorkersAndTheCacheChangeNothing) {
  auto one = spec("one"), many = spec("many");
  one.data.workers = 1;
  many.data.workers = 4;
  many.data.cache_mb = 0;
  ASSERT_EQ(train(one), TrainingOutcome::kFinished);
  ASSERT_EQ(train(many), TrainingOutcome::kFinished);
  expect_same_end(many, one);
}

TEST_F(TrainerTest, APictureThatCannotBeWrittenCostsThePictureOnly) {
  const auto spec = this->spec("run");
  for (const char* name : {"step-00000000.png", "step-00000012.png"}) {
    fs::create_directories(fs::path(spec.train.run_dir) / "pictures" / name);  // no file can take the place of a folder
  }
  EXPECT_EQ(train(spec), TrainingOutcome::kFinished);
  EXPECT_EQ(checkpoints::load_newest_checkpoint(spec.train.run_dir)->step, 12);
}

TEST_F(TrainerTest, AFinishedRunIsLeftAsItIs) {
  auto spec = this->spec("whole");
  spec.train.max_steps = 2;
  ASSERT_EQ(train(spec), TrainingOutcome::kFinished);
  const auto before = records(spec);
  EXPECT_EQ(train(spec), TrainingOutcome::kFinished);
  EXPECT_EQ(records(spec), before);
}

TEST_F(TrainerTest, CheckpointsOfAnotherArchitectureAreNamed) {
  auto spec = this->spec("run");
  spec.train.max_steps = 1;
  ASSERT_EQ(train(spec), TrainingOutcome::kFinished);
  spec.model.expansion = 3;
  test::expect_usage_error([&] { train(spec); }, {spec.train.run_dir, "model.expansion"});
  fs::remove(fs::path(spec.train.run_dir) / "config.yaml");  // then the tensors tell
  test::expect_error([&] { train(spec); },
                     {spec.train.run_dir, "another architecture", "blocks.0.layer.learnable_skip", "[32]", "[48]"});
}

TEST_F(TrainerTest, TooFewClipsForABatchAreAnError) {
  auto spec = this->spec("run");
  spec.optim.global_batch = 10;
  test::expect_usage_error([&] { train(spec); }, {"9 clips", "optim.global_batch"});
}

TEST_F(TrainerTest, AveragedWeightsAreResumedToTheLastBit) {
  auto whole = spec("whole"), pieces = spec("pieces");
  whole.train.ema_decay = pieces.train.ema_decay = 0.8;
  ASSERT_EQ(train(whole), TrainingOutcome::kFinished);
  pieces.train.max_steps = 5;
  ASSERT_EQ(train(pieces), TrainingOutcome::kFinished);
  pieces.train.max_steps = 0;
  ASSERT_EQ(train(pieces), TrainingOutcome::kFinished);
  const auto a = checkpoints::load_newest_checkpoint(pieces.train.run_dir),
             b = checkpoints::load_newest_checkpoint(whole.train.run_dir);
  ASSERT_EQ(a->ema.size(), a->model.size());
  bool differs = false;
  for (const auto& [name, tensor] : b->ema) {
    EXPECT_TRUE(a->ema.at(name).equal(tensor)) << name;
    differs |= !tensor.equal(b->model.at(name));
  }
  EXPECT_TRUE(differs);
}

TEST_F(TrainerTest, TheLossScaleIsResumedToTheLastBit) {
  auto whole = spec("whole"), pieces = spec("pieces");
  whole.train.precision = pieces.train.precision = runtime::Precision::kFp16;
  ASSERT_EQ(train(whole), TrainingOutcome::kFinished);
  pieces.train.max_steps = 5;
  ASSERT_EQ(train(pieces), TrainingOutcome::kFinished);
  pieces.train.max_steps = 0;
  ASSERT_EQ(train(pieces), TrainingOutcome::kFinished);
  expect_same_end(pieces, whole);
  EXPECT_TRUE(checkpoints::load_newest_checkpoint(whole.train.run_dir)->optimizer.contains("scaler.scale"));
}

TEST_F(TrainerTest, HeldOutClipsAreScoredTheSameWayEachTimeAndDoNotChangeTheTraining) {
  const test::Clips held_out({2.5, 0.5, 4.0, 3.0, 2.2});
  held_out.folder().write("bad.wav", "no audio");
  auto plain = spec("plain"), with = spec("with"), again = spec("again");
  with.data.validation = again.data.validation = held_out.folder().path().string();
  with.data.max_bad_fraction = again.data.max_bad_fraction = 0.5;
  with.train.validate_every_steps = again.train.validate_every_steps = 5;
  again.train.device_batch = 1;
  ASSERT_EQ(train(plain), TrainingOutcome::kFinished);
  ASSERT_EQ(train(with), TrainingOutcome::kFinished);
  expect_same_end(with, plain);
  std::map<std::int64_t, double> losses;
  std::istringstream lines(read_file(fs::path(with.train.run_dir) / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record.contains("validation_loss")) losses[record.at("step")] = record.at("validation_loss");
  }
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_TRUE(losses.contains(5) && losses.contains(10) && losses.contains(12));
  EXPECT_LT(losses[12], losses[5]);
  Validation validation(with);
  const auto model = objective::make_objective(with);
  const runtime::Arithmetic arithmetic(with.train.precision, torch::kCPU);
  const double first = validation.loss(*model, arithmetic);
  EXPECT_EQ(validation.size(), 5);
  EXPECT_EQ(validation.loss(*model, arithmetic), first);
}

TEST_F(TrainerTest, TheCpuRepeatsToTheLastBitDeterministicOrNot) {
  auto plain = spec("plain"), deterministic = spec("deterministic");
  deterministic.train.deterministic = true;
  ASSERT_EQ(train(plain), TrainingOutcome::kFinished);
  ASSERT_EQ(train(deterministic), TrainingOutcome::kFinished);
  expect_same_end(deterministic, plain);
  EXPECT_TRUE(at::globalContext().deterministicAlgorithms());
  ASSERT_EQ(train(plain), TrainingOutcome::kFinished);
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
}

TEST_F(TrainerTest, ADryRunWritesNothing) {
  auto spec = this->spec("dry");
  const std::string report = Trainer(spec).dry_run();
  for (const char* part : {"whole run    12 steps", "clips/s", "MiB"})
    EXPECT_NE(report.find(part), std::string::npos) << report;
  EXPECT_FALSE(fs::exists(spec.train.run_dir));
}

TEST_F(TrainerTest, ALossThatStaysNotFiniteEndsTheRunAndNamesThePlaceAndTheFix) {
  auto spec = this->spec("run");
  spec.optim.base_lr = 1e30;
  spec.train.max_skipped_steps = 3;
  spec.train.save_every_steps = 1;
  test::expect_error([&] { train(spec); }, {"step ", "3 in a row", "train.max_skipped_steps",
                                            "not finite first: ", "optim.base_lr", "optim.clip_grad_norm"});
  EXPECT_EQ(checkpoints::load_newest_checkpoint(spec.train.run_dir)->skipped_steps, 0);  // those from before are kept
}

/// A device with too little memory: the CPU, where this thread is refused a tensor of more than `limit` bytes as a GPU
/// refuses it.
class SmallMemory final : public c10::Allocator {
 public:
  explicit SmallMemory(std::size_t limit) : limit_(limit), real_(*c10::GetCPUAllocator()) {
    c10::SetCPUAllocator(this, /*priority=*/100);
  }
  ~SmallMemory() override { c10::SetCPUAllocator(&real_, /*priority=*/100); }
  SmallMemory(const SmallMemory&) = delete;
  SmallMemory& operator=(const SmallMemory&) = delete;

  c10::DataPtr allocate(std::size_t bytes) override {
    const bool fits = bytes <= limit_ || std::this_thread::get_id() != thread_;
    TORCH_CHECK_WITH(OutOfMemoryError, fits, "out of memory. Tried to allocate ", bytes);
    return real_.allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return real_.raw_deleter(); }
  void copy_data(void* target, const void* source, std::size_t bytes) const override {
    real_.copy_data(target, source, bytes);
  }

 private:
  std::size_t limit_;
  std::thread::id thread_ = std::this_thread::get_id();
  c10::Allocator& real_;
};

TEST_F(TrainerTest, OutOfMemoryTellsTheBatchThatFits) {
  auto spec = this->spec("run");
  spec.optim.global_batch = 8;
  spec.model.backend = ops::Backend::kReference;
  constexpr std::size_t kOneClip = 4 * 251 * 251 * sizeof(float);  // its largest tensor, [NH, S, S]
  const auto attempt = [&](double clips) {
    Trainer trainer(spec);
    const std::atomic<bool> stop{false};
    const SmallMemory memory(static_cast<std::size_t>(clips * kOneClip));
    trainer.run(stop);
  };
  std::string message;
  try {
    attempt(2.5);
  } catch (const Error& failure) {
    message = failure.what();
  }
  EXPECT_NE(message.find("out of memory on cpu with 8 clips at once"), std::string::npos) << message;
  const auto at = message.find("train.device_batch=");
  ASSERT_NE(at, std::string::npos) << message;
  spec.train.device_batch = std::stol(message.substr(at + std::string("train.device_batch=").size()));
  EXPECT_GT(spec.train.device_batch, 0);
  EXPECT_LT(spec.train.device_batch, 8);
  EXPECT_NO_THROW(attempt(2.5)) << spec.train.device_batch;
  spec.train.run_dir = (folder_.path() / "other").string();
  test::expect_error([&] { attempt(0.9); }, {"not even one fits", "model.size"});
}

}  // namespace
}  // namespace axlstm::train
