#include "axlstm/data/dataset.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <thread>

#include "axlstm/core/random.h"
#include "core/wav.h"
#include "data/clips.h"
#include "support/expect_error.h"

namespace axlstm::data {
namespace {

TEST(Dataset, FeaturesAreNormalisedByTheirOwnMeanAndDeviation) {
  const test::Clips clips({3.0, 0.5, 6.0});
  Dataset dataset = clips.dataset();
  ASSERT_EQ(dataset.size(), 3);
  const std::int64_t frames[] = {301, 51, 601};
  for (std::int64_t clip = 0; clip < 3; ++clip) {
    const auto features = dataset.features(clip);
    EXPECT_EQ(features.sizes(), (std::vector<std::int64_t>{frames[clip], 80}));
    EXPECT_EQ(features.scalar_type(), torch::kFloat32);
    EXPECT_NEAR(features.mean().item<double>(), 0, 1e-4);
    EXPECT_NEAR(features.std().item<double>(), 1, 1e-4);
  }
}

TEST(Dataset, TheCacheDoesNotChangeValues) {
  const test::Clips clips({2.0, 1.0});
  DataOptions options;
  Dataset cached = clips.dataset(options);
  options.cache_mb = 0;
  Dataset uncached = clips.dataset(options);
  for (std::int64_t clip = 0; clip < 2; ++clip) {
    const auto first = cached.features(clip);
    EXPECT_EQ(cached.features(clip).data_ptr(), first.data_ptr());
    EXPECT_NE(uncached.features(clip).data_ptr(), first.data_ptr());
    EXPECT_TRUE(uncached.features(clip).equal(first));
  }
}

TEST(Dataset, FeaturesDoNotDependOnTheThreadThatComputesThem) {
  const test::Clips clips({9.0});
  DataOptions options;
  options.cache_mb = 0;
  Dataset dataset = clips.dataset(options);
  const int before = torch::get_num_threads();
  std::vector<torch::Tensor> results;
  for (const int threads : {1, 2, 3}) {
    torch::set_num_threads(threads);
    results.push_back(dataset.features(0));
  }
  torch::set_num_threads(before);
  std::thread([&] { results.push_back(dataset.features(0)); }).join();
  for (const auto& result : results) EXPECT_TRUE(result.equal(results.front()));
}

TEST(Dataset, ASegmentIsThatPartOfTheFile) {
  const test::Clips clips({3.0});
  Manifest manifest = load_manifest(clips.options());
  const Clip whole = manifest.clips[0];
  manifest.clips = ClipList();
  manifest.clips.add(whole.path.string(), whole.id, {1.0, 0.5});
  Dataset dataset(manifest, {}, {});
  EXPECT_EQ(dataset.features(0).size(0), 51);
}

TEST(Dataset, OtherSampleRatesAreResampled) {
  const test::TemporaryFolder folder;
  folder.write("x.wav", test::wav_bytes(test::sine(2.0, 440, 44100), {.sample_rate = 44100}));
  DataOptions options;
  options.root = folder.path().string();
  EXPECT_EQ(Dataset(load_manifest(options), {}, options).features(0).size(0), 201);
}

TEST(Dataset, ClipsTakenInPartAreCountedOnce) {
  const test::TemporaryFolder folder;
  folder.write("a.wav", test::wav_bytes(test::sine(1.0, 440), {.claimed_data_bytes = 33000}));
  folder.write("b.wav", test::wav_bytes(test::sine(1.0, 440), {.claimed_data_bytes = 40000}));
  folder.write("c.wav", test::wav_bytes(test::sine(1.0, 440)));
  DataOptions options;
  options.root = folder.path().string();
  options.cache_mb = 0;
  Dataset dataset(load_manifest(options), {}, options);
  for (int repeat = 0; repeat < 3; ++repeat) EXPECT_EQ(dataset.features(0).size(0), 101);
  dataset.features(2);
  EXPECT_EQ(dataset.partial_count(), 1);
  test::expect_error([&] { dataset.features(1); }, {"b.wav", "truncated", "min_decoded_fraction"});
  options.min_decoded_fraction = 0.5;
  EXPECT_EQ(Dataset(load_manifest(options), {}, options).features(1).size(0), 101);
}

TEST(Dataset, AFileThatCannotBeReadIsNamed) {
  const test::Clips clips({1.0});
  const auto bad = clips.folder().write("zz.wav", "no audio");
  Dataset dataset = clips.dataset();
  test::expect_error([&] { dataset.features(1); }, {bad.string()});
}

TEST(Dataset, BadClipsAreCountedOnceAndTooManyStopTheRun) {
  const test::Clips clips(std::vector<double>(10, 0.1));
  DataOptions options;
  options.max_bad_fraction = 0.2;
  Dataset dataset = clips.dataset(options);
  for (int repeat = 0; repeat < 5; ++repeat) dataset.report_bad(3, "reason");
  dataset.report_bad(4, "reason");
  EXPECT_EQ(dataset.bad_count(), 2);
  test::expect_error(
      [&] { dataset.report_bad(5, "broken.wav: truncated"); },
      {"3 of 10 clips", clips.folder().path().string(), "data.max_bad_fraction", "0.2", "broken.wav: truncated"});
}

/// A dataset over `folder` whose clips are all long, or none.
std::shared_ptr<Dataset> files_of(const test::TemporaryFolder& folder, bool long_ones, std::int64_t cache_mb = 0) {
  DataOptions options;
  options.root = folder.path().string();
  options.cache_mb = cache_mb;
  return std::make_shared<Dataset>(load_manifest(options), features::LogMelOptions{}, options, long_ones ? 1e-5 : 1e6);
}

torch::Tensor crop_of(Dataset& dataset, std::int64_t clip, std::uint64_t seed) {
  auto batch = dataset.allocate(1, 200, false);
  dataset.read_crop(clip, seed, batch, 0);
  return batch.data[0];
}

TEST(LongClips, TheirCropsAreThoseOfShortOnes) {
  // Of one sample, shorter than a window, than a crop; a crop; longer.
  const test::Clips clips({0.0001, 0.005, 0.02, 0.7, 1.99, 2.0, 2.5, 6.0, 20.0});
  std::vector<std::int16_t> stereo;
  for (const std::int16_t sample : test::sine(7.3, 300, 44100)) stereo.insert(stereo.end(), {sample, 0});
  clips.folder().write("stereo.wav", test::wav_bytes(stereo, {.sample_rate = 44100, .channels = 2}));
  clips.folder().write("telephone.wav", test::wav_bytes(test::sine(7.3, 300, 8000), {.sample_rate = 8000}));
  const auto audio = std::filesystem::path(AXLSTM_TEST_DATA) / "data" / "audio" / "music";
  for (const char* file : {"loops/loop_garzul.mp3", "drums/drum_roll.opus", "percussion/perc_till.flac"})
    std::filesystem::copy(audio / file, clips.folder().path() / std::filesystem::path(file).filename());
  const auto brief = files_of(clips.folder(), false);
  for (const std::int64_t cache_mb : {0, 1, 100}) {  // without the cache, with room for some, for all
    const auto lengthy = files_of(clips.folder(), true, cache_mb);
    for (std::int64_t clip = 0; clip < brief->size(); ++clip) {
      for (std::uint64_t seed = 0; seed < 12; ++seed) {
        const auto a = crop_of(*brief, clip, derive_seed({seed})), b = crop_of(*lengthy, clip, derive_seed({seed}));
        // Digital silence and pure tones have bins of next to no power, whose logarithm magnifies rounding.
        EXPECT_LE((a - b).abs().mean().item<double>(), 1e-4) << brief->id(clip) << ", seed " << seed;
        EXPECT_LE((a - b).abs().max().item<double>(), 5e-3) << brief->id(clip) << ", seed " << seed;
      }
    }
    EXPECT_EQ(lengthy->features(8).defined(), cache_mb == 100);
  }
}

TEST(LongClips, SegmentsAreThatPartOfTheFile) {
  const test::Clips clips({9.0});
  const auto dataset = [&](double long_seconds) {
    Manifest manifest = load_manifest(clips.options());
    const Clip whole = manifest.clips[0];
    manifest.clips = ClipList();
    manifest.clips.add(whole.path.string(), whole.id, {1.0, 5.5});
    DataOptions options;
    options.cache_mb = 0;
    return std::make_shared<Dataset>(manifest, features::LogMelOptions{}, options, long_seconds);
  };
  const auto brief = dataset(600), lengthy = dataset(1);
  for (std::uint64_t seed = 0; seed < 30; ++seed)
    EXPECT_LE((crop_of(*brief, 0, seed) - crop_of(*lengthy, 0, seed)).abs().max().item<double>(), 2e-4) << seed;
}

TEST(LongClips, BadOnesAreNamedEachTimeAndPartialOnesCountedOnce) {
  const test::TemporaryFolder folder;
  std::vector<float> samples(100'000, 0.1F);
  samples[90'000] = NAN;
  folder.write("a.wav", test::wav_bytes(samples));
  folder.write("b.wav", test::wav_bytes(test::sine(4.0, 300), {.claimed_data_bytes = 130'000}));
  folder.write("c.wav", test::wav_bytes(std::vector<float>(100'000, 1e30F)));
  const auto dataset = files_of(folder, true);
  for (int repeat = 0; repeat < 2; ++repeat) {
    test::expect_error([&] { crop_of(*dataset, 0, 1); }, {"a.wav", "not finite", "at 5.625 s"});
    test::expect_error([&] { crop_of(*dataset, 2, 1); }, {"c.wav", "not finite"});
    crop_of(*dataset, 1, 1);
  }
  EXPECT_EQ(dataset->partial_count(), 1);
}

TEST(LongClips, ManyThreadsReadThemOnce) {
  const test::Clips clips({8.0, 9.0});
  const auto dataset = files_of(clips.folder(), true);
  const auto expected = crop_of(*files_of(clips.folder(), true), 1, 3);
  std::vector<torch::Tensor> crops(6);
  std::vector<std::thread> threads;
  for (auto& crop : crops) threads.emplace_back([&] { crop = crop_of(*dataset, 1, 3); });
  for (auto& thread : threads) thread.join();
  for (const auto& crop : crops) EXPECT_TRUE(crop.equal(expected));
}

TEST(RandomCrop, StaysWithinTheClip) {
  const auto features = torch::arange(250, torch::kFloat32).unsqueeze(1).expand({250, 3});
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const auto crop = data::crop_of(features, 200, ClipSource::uniform_start(derive_seed({seed})));
    ASSERT_EQ(crop.sizes(), (std::vector<std::int64_t>{200, 3}));
    const auto start = crop[0][0].item<std::int64_t>();
    EXPECT_GE(start, 0);
    EXPECT_LE(start, 50);
    EXPECT_TRUE(crop.equal(features.narrow(0, start, 200)));
  }
}

TEST(RandomCrop, EveryStartIsEquallyLikelyTheLastOneToo) {
  constexpr int kStarts = 6, kDraws = 6000;
  const auto features = torch::arange(10 + kStarts - 1, torch::kFloat32).unsqueeze(1);
  std::vector<int> counts(kStarts);
  for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
    const auto start =
        data::crop_of(features, 10, ClipSource::uniform_start(derive_seed({1, seed})))[0][0].item<std::int64_t>();
    ++counts.at(static_cast<std::size_t>(start));
  }
  const double expected = static_cast<double>(kDraws) / kStarts, deviation = std::sqrt(expected * (1 - 1.0 / kStarts));
  for (const int count : counts) EXPECT_NEAR(count, expected, 5 * deviation);
}

TEST(RandomCrop, AClipOfExactlyThatLengthIsTakenWhole) {
  const auto features = torch::randn({200, 80});
  EXPECT_TRUE(data::crop_of(features, 200, ClipSource::uniform_start(5)).equal(features));
}

TEST(RandomCrop, ShortClipsAreTiledAlongTime) {
  const auto features = torch::randn({3, 80});
  const auto crop = data::crop_of(features, 200, ClipSource::uniform_start(5));
  ASSERT_EQ(crop.sizes(), (std::vector<std::int64_t>{200, 80}));
  for (std::int64_t frame = 0; frame < 200; ++frame) EXPECT_TRUE(crop[frame].equal(features[frame % 3]));
}

}  // namespace
}  // namespace axlstm::data
