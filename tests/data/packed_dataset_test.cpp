#include "axlstm/data/packed_dataset.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <random>

#include "axlstm/core/random.h"
#include "axlstm/data/dataset.h"
#include "axlstm/data/loader.h"
#include "axlstm/data/packer.h"
#include "data/clips.h"
#include "support/expect_error.h"

namespace axlstm::data {
namespace {

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

class PackedDatasetTest : public testing::Test {
 protected:
  PackedDatasetTest() { clips_.folder().write("silence.wav", test::wav_bytes(std::vector<std::int16_t>(48000, 0))); }

  std::shared_ptr<PackedDataset> packed(Encoding encoding, const features::LogMelOptions& audio = {}) const {
    PackOptions options;
    options.output = folder_.path() / (encoding == Encoding::kPcm16 ? "pcm" : "logmel");
    options.encoding = encoding;
    options.workers = 2;
    options.shard_mb = 1;
    const std::atomic<bool> stop{false};
    pack(*stream_manifest(load_manifest(clips_.options())), options, stop);
    return std::make_shared<PackedDataset>(options.output, audio, 0.1);
  }

  /// The crop of one clip, through the interface that the loader uses.
  static torch::Tensor crop(ClipSource& source, std::int64_t clip, std::uint64_t seed, std::int64_t frames = 200) {
    auto batch = source.allocate(2, frames, false);
    source.read_crop(clip, seed, batch, 0);
    source.read_crop(clip, seed + 1, batch, 1);
    return source.spectrogram(batch, torch::kCPU)[0][0];
  }

  // Shorter than a sample of context, than a window, than a crop; exactly a crop; longer.
  test::Clips clips_{{0.0001, 0.005, 0.02, 0.7, 1.99, 2.0, 2.5, 6.0, 20.0}};
  test::TemporaryFolder folder_;
};

TEST_F(PackedDatasetTest, CropsOfSamplesAreThoseOfTheFilesToFloat32Rounding) {
  Dataset files(load_manifest(clips_.options()), {}, clips_.options());
  const auto packed = this->packed(Encoding::kPcm16);
  ASSERT_EQ(packed->size(), files.size());
  for (std::int64_t clip = 0; clip < files.size(); ++clip) {
    EXPECT_EQ(packed->id(clip), files.id(clip));
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      EXPECT_LE(largest_difference(crop(*packed, clip, derive_seed({seed})), crop(files, clip, derive_seed({seed}))),
                2e-4)
          << "clip " << files.id(clip) << ", seed " << seed;
    }
  }
}

TEST_F(PackedDatasetTest, NoLevelIsClippedOrLost) {
  const test::TemporaryFolder folder;
  std::mt19937 engine(1);
  std::uniform_real_distribution<float> noise(-0.1F, 0.1F);
  // Peaks in full scale: −90 dBFS … samples that are 16-bit numbers written as floats.
  for (const double peak : {3.2e-5, 1e-4, 1e-3, 0.1, 0.999, 1.0, 1.7, 3.4, 100.0, 32768.0}) {
    std::vector<float> samples;
    for (const std::int16_t sample : test::sine(2.5, 440)) {
      const float level = samples.size() % 16000 < 8000 ? 1.0F : 0.05F;  // loud and quiet in turns
      samples.push_back(static_cast<float>(peak) * level * (0.9F * static_cast<float>(sample) / 16384 + noise(engine)));
    }
    folder.write(str("peak_", peak, ".wav"), test::wav_bytes(samples));
  }
  DataOptions options;
  options.root = folder.path().string();
  PackOptions packing;
  packing.output = folder_.path() / "levels";
  const std::atomic<bool> stop{false};
  ASSERT_EQ(pack(*stream_manifest(load_manifest(options)), packing, stop).clips, 10);
  Dataset files(load_manifest(options), {}, options);
  PackedDataset packed(packing.output, {}, 0);
  for (std::int64_t clip = 0; clip < files.size(); ++clip) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const auto difference = crop(packed, clip, derive_seed({seed})) - crop(files, clip, derive_seed({seed}));
      EXPECT_LE(difference.square().mean().sqrt().item<double>(), 0.005) << files.id(clip);
      EXPECT_LE(difference.abs().max().item<double>(), 0.1) << files.id(clip);  // of the weakest of 16,000 values
    }
  }
}

TEST_F(PackedDatasetTest, ShardsOfTheFirstFormatAreReadAsEver) {
  const std::filesystem::path data = std::filesystem::path(AXLSTM_TEST_DATA) / "data";
  const PackedSet set(data / "packed_format1");
  ASSERT_EQ(set.size(), 2);
  EXPECT_EQ(set.clip(1).labels, "y,z");
  EXPECT_EQ(set.clip(1).scale, 1.0 / 32768);
  EXPECT_EQ(verify(set, 1), std::vector<std::string>{});
  Manifest manifest;
  manifest.clips.add((data / "formats" / "source.wav").string(), "one", {0, 0.4});
  manifest.clips.add((data / "formats" / "source.wav").string(), "two", {0.4, 0.3});
  Dataset files(std::move(manifest), {}, {});
  PackedDataset packed(data / "packed_format1", {}, 0);
  for (std::int64_t clip = 0; clip < 2; ++clip)
    EXPECT_LE(largest_difference(crop(packed, clip, 7), crop(files, clip, 7)), 2e-4) << clip;
}

TEST_F(PackedDatasetTest, FirstAndLastFramesOfAClipAreReflectedAsInTheWhole) {
  Dataset files(load_manifest(clips_.options()), {}, clips_.options());
  const auto packed = this->packed(Encoding::kPcm16);
  const auto whole = files.features(7);  // 601 frames
  EXPECT_LE(largest_difference(crop(*packed, 7, 0, 601), whole), 2e-4);
}

TEST_F(PackedDatasetTest, CropsOfLogMelAreThoseOfTheFilesToFloat16Rounding) {
  Dataset files(load_manifest(clips_.options()), {}, clips_.options());
  const auto packed = this->packed(Encoding::kLogMel16);
  for (std::int64_t clip = 0; clip < files.size(); ++clip) {
    const auto expected = crop(files, clip, 9);
    EXPECT_LE(largest_difference(crop(*packed, clip, 9), expected), 5e-4 * expected.abs().max().item<double>() + 1e-6)
        << files.id(clip);
  }
}

TEST_F(PackedDatasetTest, TheBiasedDeviationIsDerived) {
  features::LogMelOptions biased;
  biased.clip_std = features::ClipStd::kBiased;
  Dataset files(load_manifest(clips_.options()), biased, clips_.options());
  for (const auto encoding : {Encoding::kPcm16, Encoding::kLogMel16}) {
    const auto packed = this->packed(encoding, biased);
    for (const std::int64_t clip : {0, 3, 8})
      EXPECT_LE(largest_difference(crop(*packed, clip, 3), crop(files, clip, 3)), 5e-3) << clip;
  }
}

TEST_F(PackedDatasetTest, SilenceIsZero) {
  for (const auto encoding : {Encoding::kPcm16, Encoding::kLogMel16}) {
    const auto packed = this->packed(encoding);
    EXPECT_EQ(packed->id(9), "silence.wav");
    EXPECT_EQ(crop(*packed, 9, 1).abs().max().item<double>(), 0);
  }
}

TEST_F(PackedDatasetTest, BatchesAreTheSameForAnyNumberOfWorkersAndForTheFiles) {
  LoaderOptions options;
  options.seed = 3;
  options.batch_size = 4;
  Loader files(std::make_shared<Dataset>(load_manifest(clips_.options()), features::LogMelOptions{}, clips_.options()),
               options, 0);
  const auto source = packed(Encoding::kPcm16);
  Loader one(source, options, 0);
  options.workers = 5;
  Loader many(source, options, 0), later(source, options, 3);
  for (int step = 0; step < 6; ++step) {
    const Batch expected = files.next(), a = one.next(), b = many.next();
    EXPECT_EQ(a.clips, expected.clips);
    EXPECT_EQ(b.clips, expected.clips);
    EXPECT_TRUE(a.spectrogram.equal(b.spectrogram));
    EXPECT_EQ(a.spectrogram.sizes(), expected.spectrogram.sizes());
    EXPECT_LE(largest_difference(a.spectrogram, expected.spectrogram), 2e-4);
    if (step >= 3) {
      EXPECT_TRUE(later.next().spectrogram.equal(a.spectrogram));
    }
  }
}

TEST_F(PackedDatasetTest, AnotherFrontEndIsRefusedByItsKey) {
  packed(Encoding::kPcm16);
  features::LogMelOptions other;
  other.f_min_hz = 60;
  test::expect_usage_error([&] { PackedDataset(folder_.path() / "pcm", other, 0.1); }, {"audio.f_min_hz 50", "60"});
}

TEST(OpenClips, FilesAndShardsTogetherAreRefused) {
  DataOptions options;
  options.packed = "somewhere";
  options.root = "elsewhere";
  test::expect_usage_error([&] { open_clips(options, {}); }, {"data.packed", "data.root"});
}

}  // namespace
}  // namespace axlstm::data
