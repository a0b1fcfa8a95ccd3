#include "axlstm/data/loader.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <set>
#include <system_error>

#include "data/clips.h"
#include "support/expect_error.h"

namespace axlstm::data {
namespace {

LoaderOptions small(std::int64_t workers = 1, std::int64_t batch_size = 3) {
  LoaderOptions options;
  options.seed = 11;
  options.batch_size = batch_size;
  options.workers = workers;
  return options;
}

std::vector<Batch> take(Loader& loader, int count) {
  std::vector<Batch> batches;
  for (int n = 0; n < count; ++n) batches.push_back(loader.next());
  return batches;
}

void expect_equal(const std::vector<Batch>& actual, const std::vector<Batch>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t n = 0; n < actual.size(); ++n) {
    EXPECT_EQ(actual[n].clips, expected[n].clips) << "batch " << n;
    EXPECT_TRUE(actual[n].spectrogram.equal(expected[n].spectrogram)) << "batch " << n;
  }
}

/// While it lives there is address space for the stacks of two more threads or so.
class FewThreads {
 public:
  FewThreads() {
    constexpr std::size_t kStack = std::size_t{1} << 30;
    std::size_t used_pages = 0;
    std::ifstream("/proc/self/statm") >> used_pages;
    pthread_getattr_default_np(&attributes_);
    pthread_attr_t large = attributes_;
    pthread_attr_setstacksize(&large, kStack);
    pthread_setattr_default_np(&large);
    getrlimit(RLIMIT_AS, &limit_);
    const rlimit tight{used_pages * static_cast<std::size_t>(::getpagesize()) + 5 * kStack / 2, limit_.rlim_max};
    setrlimit(RLIMIT_AS, &tight);
  }
  ~FewThreads() {
    setrlimit(RLIMIT_AS, &limit_);
    pthread_setattr_default_np(&attributes_);
    pthread_attr_destroy(&attributes_);
  }

 private:
  pthread_attr_t attributes_{};
  rlimit limit_{};
};

class LoaderTest : public testing::Test {
 protected:
  std::vector<Batch> batches(const LoaderOptions& options, int count, std::int64_t first_step = 0) {
    Loader loader(dataset_, options, first_step);
    return take(loader, count);
  }

  test::Clips clips_{{2.5, 0.3, 3.0, 2.0, 5.0, 2.2, 1.0, 4.0}};
  std::shared_ptr<Dataset> dataset_ = clips_.shared_dataset();
};

TEST_F(LoaderTest, BatchesHaveTheShapeAskedAndHoldCropsOfTheirClips) {
  for (const Batch& batch : batches(small(), 4)) {
    ASSERT_EQ(batch.spectrogram.sizes(), (std::vector<std::int64_t>{3, 1, 200, 80}));
    for (std::size_t row = 0; row < batch.clips.size(); ++row) {
      const auto features = dataset_->features(batch.clips[row]);
      const auto crop = batch.spectrogram[static_cast<std::int64_t>(row)][0];
      bool found = features.size(0) < 200;
      for (std::int64_t start = 0; start + 200 <= features.size(0) && !found; ++start)
        found = features.narrow(0, start, 200).equal(crop);
      EXPECT_TRUE(found) << batch.clips[row];
    }
  }
}

TEST_F(LoaderTest, TheNumberOfWorkersChangesNothing) {
  const auto expected = batches(small(1), 8);
  expect_equal(batches(small(4), 8), expected);
  auto options = small(3);
  options.prefetch_batches = 1;
  expect_equal(batches(options, 8), expected);
}

TEST_F(LoaderTest, StartingAtAStepEqualsSkippingTheOnesBefore) {
  const auto all = batches(small(2), 9);
  for (const std::int64_t first : {1, 2, 5}) {
    expect_equal(batches(small(2), 3, first), {all.begin() + first, all.begin() + first + 3});
  }
}

TEST_F(LoaderTest, AnEpochIsAPermutationWithoutRepeats) {
  Loader loader(dataset_, small(2, 4), 0);
  ASSERT_EQ(loader.steps_per_epoch(), 2);
  std::set<std::vector<std::int64_t>> orders;
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::vector<std::int64_t> order;
    for (const Batch& batch : take(loader, 2)) order.insert(order.end(), batch.clips.begin(), batch.clips.end());
    orders.insert(order);
    std::sort(order.begin(), order.end());
    std::vector<std::int64_t> every(8);
    std::iota(every.begin(), every.end(), 0);
    EXPECT_EQ(order, every);
  }
  EXPECT_EQ(orders.size(), 4u);  // each epoch its own
}

TEST_F(LoaderTest, WhatDoesNotFillABatchIsLeftOut) {
  Loader loader(dataset_, small(2, 3), 0);
  EXPECT_EQ(loader.steps_per_epoch(), 2);
  std::set<std::int64_t> seen;
  for (const Batch& batch : take(loader, 2)) seen.insert(batch.clips.begin(), batch.clips.end());
  EXPECT_EQ(seen.size(), 6u);
}

TEST_F(LoaderTest, CropsOfAClipChangeFromEpochToEpoch) {
  Loader loader(dataset_, small(1, 8), 0);
  const auto both = take(loader, 2);
  const auto row_of = [](const Batch& batch, std::int64_t clip) {
    return std::find(batch.clips.begin(), batch.clips.end(), clip) - batch.clips.begin();
  };
  const std::int64_t longest = 4;
  EXPECT_FALSE(both[0].spectrogram[row_of(both[0], longest)].equal(both[1].spectrogram[row_of(both[1], longest)]));
}

TEST_F(LoaderTest, TheSeedDecides) {
  auto other = small();
  other.seed = 12;
  EXPECT_NE(batches(other, 1)[0].clips, batches(small(), 1)[0].clips);
}

TEST_F(LoaderTest, TooFewClipsAreAnError) {
  test::expect_usage_error([&] { Loader loader(dataset_, small(1, 9), 0); },
                           {"8 clips", "batch of 9", "optim.global_batch"});
}

TEST_F(LoaderTest, NoWorkersAndNothingToPrefetchAreErrors) {
  test::expect_error([&] { Loader loader(dataset_, small(0), 0); }, {"workers are 0"});
  auto options = small();
  options.prefetch_batches = 0;
  test::expect_error([&] { Loader loader(dataset_, options, 0); }, {"prefetch_batches is 0"});
}

TEST_F(LoaderTest, IfAThreadCannotBeStartedTheOthersEnd) {
  batches(small(), 1);  // LibTorch allocates what it keeps
  {
    const FewThreads few;
    EXPECT_THROW(Loader(dataset_, small(8), 0), std::system_error);
  }
  EXPECT_EQ(batches(small(8), 1).size(), 1u);
}

TEST_F(LoaderTest, ItCanBeDroppedWhileWorkersAreBusy) {
  for (int n = 0; n < 20; ++n) Loader loader(dataset_, small(4), n);
  EXPECT_EQ(dataset_->bad_count(), 0);
}

TEST(LoaderWithBadClips, TheyAreReplacedTheSameWayByAnyNumberOfWorkers) {
  const test::Clips clips(std::vector<double>(8, 2.1));
  clips.folder().write("03.wav", "no audio");
  DataOptions options;
  options.max_bad_fraction = 0.2;
  std::vector<std::vector<Batch>> runs;
  for (const std::int64_t workers : {1, 4}) {
    const auto dataset = clips.shared_dataset(options);
    Loader loader(dataset, small(workers, 4), 0);
    runs.push_back(take(loader, 6));
    EXPECT_EQ(dataset->bad_count(), 1);
  }
  expect_equal(runs[1], runs[0]);
  for (const Batch& batch : runs[0]) {
    EXPECT_EQ(std::count(batch.clips.begin(), batch.clips.end(), 3), 0);
    EXPECT_TRUE(batch.spectrogram.isfinite().all().item<bool>());
  }
}

TEST(LoaderWithBadClips, TooManyStopTheRun) {
  const test::Clips clips(std::vector<double>(6, 2.1));
  for (const char* name : {"00.wav", "01.wav", "02.wav"}) clips.folder().write(name, "no audio");
  Loader loader(clips.shared_dataset(), small(3, 3), 0);
  test::expect_error([&] { take(loader, 4); }, {"data.max_bad_fraction", "not audio"});
  test::expect_error([&] { loader.next(); }, {"data.max_bad_fraction"});  // and again, instead of waiting for ever
}

TEST_F(LoaderTest, PartsOfABatchAreThoseOfTheWhole) {
  test::Clips clips{{2.5, 6.0, 0.7, 8.0, 2.0, 9.0, 3.0}};
  const auto open = [&] { return open_clips(clips.options(), {}); };
  Loader whole(open(), small(), 1);
  const auto expected = take(whole, 4);  // over an epoch's end
  auto first = small(2), rest = small(1);
  first.rows = 1;
  rest.first_row = 1;
  Loader first_part(open(), first, 1), other_part(open(), rest, 1);
  EXPECT_EQ(other_part.steps_per_epoch(), whole.steps_per_epoch());
  for (const Batch& batch : expected) {
    const Batch a = first_part.next(), b = other_part.next();
    EXPECT_EQ(a.clips, std::vector(batch.clips.begin(), batch.clips.begin() + 1));
    EXPECT_EQ(b.clips, std::vector(batch.clips.begin() + 1, batch.clips.end()));
    EXPECT_TRUE(torch::cat({a.spectrogram, b.spectrogram}).equal(batch.spectrogram));
  }
  rest.rows = 3;
  test::expect_error([&] { Loader(open(), rest, 0); }, {"rows 1 … 3", "batch of 3"});
}

TEST(LoaderWithClasses, BatchesCarryThemAndTheClipsThatReplaceOthers) {
  const test::Clips clips({2.5, 3.0, 2.2, 2.7});
  clips.folder().write("01.wav", "no audio");
  DataOptions options;
  options.root = clips.folder().path().string();
  options.max_bad_fraction = 0.5;
  auto wanted = small(2, 4);
  wanted.classes = std::make_shared<ClipClasses>();
  Loader loader(open_clips(options, {}), wanted, 0);
  for (int n = 0; n < 3; ++n) {
    const Batch batch = loader.next();
    EXPECT_EQ(batch.classes, wanted.classes);
    for (const std::int64_t clip : batch.clips) ASSERT_NE(clip, 1) << "cannot be read";
    const Batch part = batch.narrow(1, 2);
    EXPECT_EQ(part.classes, wanted.classes);
    EXPECT_EQ(part.clips, std::vector<std::int64_t>(batch.clips.begin() + 1, batch.clips.begin() + 3));
    EXPECT_TRUE(part.spectrogram.equal(batch.spectrogram.narrow(0, 1, 2)));
  }
}

TEST_F(LoaderTest, NoiseIsAFunctionOfClipAndSeed) {
  DataOptions options;
  options.synthetic = 10;
  Loader one(open_clips(options, {}), small(1), 0), three(open_clips(options, {}), small(3), 0);
  const auto batches = take(one, 4);
  expect_equal(take(three, 4), batches);
  EXPECT_NEAR(batches[0].spectrogram.mean().item<double>(), 0, 0.05);
  EXPECT_NEAR(batches[0].spectrogram.std().item<double>(), 1, 0.05);
  EXPECT_FALSE(batches[0].spectrogram[0].equal(batches[0].spectrogram[1]));
  options.root = "somewhere";
  test::expect_usage_error([&] { open_clips(options, {}); }, {"data.synthetic", "data.root"});
}

}  // namespace
}  // namespace axlstm::data
