#include "axlstm/data/packer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "axlstm/core/files.h"
#include "axlstm/data/dataset.h"
#include "axlstm/data/shards/packed.h"
#include "axlstm/features/log_mel.h"
#include "data/clips.h"
#include "data/tar.h"
#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

/// Stops a packing after some clips, as a signal would.
class StoppingStream final : public ClipStream {
 public:
  StoppingStream(std::unique_ptr<ClipStream> inner, std::atomic<bool>& stop, int after)
      : inner_(std::move(inner)), stop_(stop), left_(after) {}
  std::optional<StreamedClip> next() override {
    if (left_-- == 0) stop_ = true;
    return inner_->next();
  }
  void skip(std::int64_t count) override { inner_->skip(count); }
  double done() const override { return inner_->done(); }
  std::string fingerprint() const override { return inner_->fingerprint(); }
  std::string description() const override { return inner_->description(); }

 private:
  std::unique_ptr<ClipStream> inner_;
  std::atomic<bool>& stop_;
  int left_;
};

class PackerTest : public testing::Test {
 protected:
  PackOptions options(const std::string& name, std::int64_t workers = 2) const {
    PackOptions options;
    options.output = folder_.path() / name;
    options.workers = workers;
    options.shard_mb = 1;
    return options;
  }

  std::unique_ptr<ClipStream> stream() const { return stream_manifest(load_manifest(clips_.options())); }

  PackReport pack(const PackOptions& options) const {
    const std::atomic<bool> stop{false};
    const auto clips = stream();
    return data::pack(*clips, options, stop);
  }

  /// Every file of a packed folder but the lock.
  static std::map<std::string, std::string> files(const fs::path& folder) {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().filename() != ".lock") found[entry.path().filename().string()] = read_file(entry.path());
    return found;
  }

  test::Clips clips_{{12, 0.5, 20, 3, 9, 0.01, 14, 2.2, 8, 11}};  // 80 seconds: 2.5 MB of samples
  test::TemporaryFolder folder_;
};

TEST_F(PackerTest, SamplesAndStatisticsAreThoseOfTheFiles) {
  const auto report = pack(options("p"));
  EXPECT_EQ(report.clips, 10);
  EXPECT_EQ(report.broken, 0);
  EXPECT_TRUE(report.finished);
  const PackedSet set(folder_.path() / "p");
  ASSERT_EQ(set.size(), 10);
  EXPECT_GT(set.shards().size(), 1U);
  EXPECT_NEAR(set.seconds(), 79.71, 0.01);
  const Manifest manifest = load_manifest(clips_.options());
  const features::LogMel log_mel{{}};
  for (std::int64_t n = 0; n < set.size(); ++n) {
    const ShardView view = set.clip(n);
    const Clip& clip = manifest.clips[static_cast<std::size_t>(n)];
    EXPECT_EQ(view.id, clip.id);
    const auto wave = features::as_tensor(audio::decode_file(clip.path));
    ASSERT_EQ(view.length, static_cast<std::uint64_t>(wave.numel()));
    const auto samples = torch::empty({wave.numel()}, torch::kInt16);
    view.read(0, samples.data_ptr(), samples.nbytes());
    EXPECT_TRUE((samples.to(torch::kFloat32) / 32768).equal(wave)) << view.id;
    const auto statistics = features::clip_statistics(log_mel(wave), features::ClipStd::kUnbiased);
    EXPECT_NEAR(view.mean, statistics.mean, 1e-6);
    EXPECT_NEAR(view.std, statistics.std, 1e-6);
    EXPECT_EQ(set.frames(view), log_mel(wave).size(0));
  }
}

TEST_F(PackerTest, LogMelIsNormalisedAndRoundedToFloat16) {
  auto options = this->options("p");
  options.encoding = Encoding::kLogMel16;
  pack(options);
  const PackedSet set(options.output);
  Dataset dataset = clips_.dataset();
  for (std::int64_t n = 0; n < set.size(); ++n) {
    const ShardView view = set.clip(n);
    const auto kept = torch::empty({static_cast<std::int64_t>(view.length), 80}, torch::kFloat16);
    view.read(0, kept.data_ptr(), kept.nbytes());
    EXPECT_LE(test::absolute_error(kept, dataset.features(n)), 5e-4 * 6) << view.id;  // of numbers up to 6
  }
}

TEST_F(PackerTest, TheBytesDoNotDependOnTheThreads) {
  for (const Encoding encoding : {Encoding::kPcm16, Encoding::kLogMel16}) {
    std::vector<std::map<std::string, std::string>> packed;
    for (const std::int64_t workers : {1, 2, 5}) {
      auto options = this->options(str("w", workers, static_cast<int>(encoding)), workers);
      options.encoding = encoding;
      pack(options);
      packed.push_back(files(options.output));
    }
    EXPECT_TRUE(packed[1] == packed[0]);
    EXPECT_TRUE(packed[2] == packed[0]);
  }
}

TEST_F(PackerTest, InterruptedAnywhereItGoesOnToTheSameBytes) {
  clips_.folder().write("05.wav", "no audio");
  pack(options("whole"));
  for (const int after : {0, 3, 6, 9}) {
    const auto options = this->options(str("after", after));
    std::atomic<bool> stop{false};
    StoppingStream stopping(stream(), stop, after);
    EXPECT_FALSE(data::pack(stopping, options, stop).finished);
    test::expect_error([&] { PackedSet set(options.output); }, {options.output.string(), "pack.json"});
    folder_.write(str("after", after, "/.writing-shard-00001.axs"), "left behind by a kill");
    EXPECT_TRUE(pack(options).finished);
    fs::remove(options.output / ".writing-shard-00001.axs");
    EXPECT_TRUE(files(options.output) == files(folder_.path() / "whole")) << after;
  }
}

TEST_F(PackerTest, ADamagedShardIsPackedAgain) {
  const auto options = this->options("p");
  pack(options);
  const auto whole = files(options.output);
  fs::remove(options.output / "pack.json");
  const fs::path shard = options.output / "shard-00001.axs";
  write_file_atomic(shard, read_file(shard).substr(0, 1000));
  EXPECT_TRUE(pack(options).finished);
  EXPECT_TRUE(files(options.output) == whole);
}

TEST_F(PackerTest, ClipsPackedInPartAreCountedAndListedAlsoAfterAnInterruption) {
  for (const char* name : {"01.wav", "08.wav"})
    clips_.folder().write(name, test::wav_bytes(test::sine(20.0, 440), {.claimed_data_bytes = 660000}));
  clips_.folder().write("05.wav", test::wav_bytes(test::sine(1.0, 440), {.claimed_data_bytes = 660000}));
  auto options = this->options("p");
  std::atomic<bool> stop{false};
  StoppingStream stopping(stream(), stop, 7);
  EXPECT_FALSE(data::pack(stopping, options, stop).finished);
  const auto report = pack(options);
  EXPECT_EQ(report.clips, 9);
  EXPECT_EQ(report.broken, 1);
  EXPECT_EQ(report.partial, 2);
  const std::string list = read_file(options.output / "partial.jsonl");
  for (const char* part : {"01.wav", "08.wav", "96.9 %"}) EXPECT_NE(list.find(part), std::string::npos) << list;
  EXPECT_EQ(list.find("05.wav"), std::string::npos) << list;
  EXPECT_EQ(PackedSet(options.output).info().partial, 2);
  options.min_decoded_fraction = 0.01;
  options.output = folder_.path() / "all";
  EXPECT_EQ(pack(options).partial, 3);
}

/// Clips that are no 16-bit numbers, of other rates and formats, and one of which something is missing.
void add_other_formats(const test::TemporaryFolder& folder) {
  std::vector<float> loud;
  for (int n = 0; n < 50'000; ++n) loud.push_back(3.0F * std::sin(static_cast<float>(n) * 0.05F));
  folder.write("loud.wav", test::wav_bytes(loud));
  std::vector<std::int16_t> stereo;
  for (const std::int16_t sample : test::sine(3.3, 300, 44100)) stereo.insert(stereo.end(), {sample, 0});
  folder.write("stereo.wav", test::wav_bytes(stereo, {.sample_rate = 44100, .channels = 2}));
  const fs::path audio = fs::path(AXLSTM_TEST_DATA) / "data" / "audio" / "music";
  for (const char* file : {"loops/loop_garzul.mp3", "drums/drum_roll.opus", "percussion/perc_till.flac"})
    fs::copy(audio / file, folder.path() / fs::path(file).filename());
  folder.write("nearly.wav", test::wav_bytes(test::sine(4.0, 300), {.claimed_data_bytes = 130'000}));
}

std::vector<double> numbers_of(const ShardView& view, Encoding encoding, std::int64_t mels) {
  const bool pcm = encoding == Encoding::kPcm16;
  const auto size = static_cast<std::int64_t>(view.length) * (pcm ? 1 : mels);
  const auto kept = torch::empty({size}, pcm ? torch::kInt16 : torch::kFloat16);
  view.read(0, kept.data_ptr(), kept.nbytes());
  const auto numbers = kept.to(torch::kFloat64);
  return {numbers.data_ptr<double>(), numbers.data_ptr<double>() + size};
}

TEST_F(PackerTest, LongClipsArePackedAsShortOnes) {
  add_other_formats(clips_.folder());
  for (const Encoding encoding : {Encoding::kPcm16, Encoding::kLogMel16}) {
    auto options = this->options(str("short", static_cast<int>(encoding)));
    options.encoding = encoding;
    EXPECT_EQ(pack(options).partial, 1);
    const PackedSet brief(options.output);
    options.output = folder_.path() / str("long", static_cast<int>(encoding));
    options.long_seconds = 0.001;
    EXPECT_EQ(pack(options).partial, 1);
    const PackedSet lengthy(options.output);
    ASSERT_EQ(brief.size(), 16);
    ASSERT_EQ(lengthy.size(), 16);
    for (std::int64_t n = 0; n < brief.size(); ++n) {
      const ShardView a = brief.clip(n), b = lengthy.clip(n);
      ASSERT_EQ(a.id, b.id);
      ASSERT_EQ(a.length, b.length) << a.id;
      EXPECT_NEAR(a.mean, b.mean, 1e-4) << a.id;
      EXPECT_NEAR(a.std, b.std, 1e-4) << a.id;
      EXPECT_NEAR(a.scale, b.scale, 1e-6 * a.scale) << a.id;
      EXPECT_TRUE(b.is_whole()) << b.id;
      // Of what is not resampled the samples are the same, of the rest one in a few thousand is rounded to its
      // neighbour.
      const bool resampled =
          a.id.find("stereo") != a.id.npos || a.id.find(".mp3") != a.id.npos || a.id.find(".opus") != a.id.npos;
      if (encoding == Encoding::kPcm16 && !resampled) {
        EXPECT_EQ(a.checksum, b.checksum) << a.id;
        EXPECT_EQ(a.scale, b.scale) << a.id;
      }
      const auto x = numbers_of(a, encoding, 80), y = numbers_of(b, encoding, 80);
      double most = 0;
      for (std::size_t k = 0; k < x.size(); ++k) most = std::max(most, std::abs(x[k] - y[k]));
      EXPECT_LE(most, encoding == Encoding::kPcm16 ? 1 : 0.02) << a.id;
    }
  }
}

TEST_F(PackerTest, BytesOfLongClipsDoNotDependOnTheThreadsAndInterruptions) {
  for (const Encoding encoding : {Encoding::kPcm16, Encoding::kLogMel16}) {
    std::vector<std::map<std::string, std::string>> packed;
    for (const std::int64_t workers : {1, 5}) {
      auto options = this->options(str("w", workers, static_cast<int>(encoding)), workers);
      options.encoding = encoding;
      options.long_seconds = 1;
      std::atomic<bool> stop{false};
      StoppingStream stopping(stream(), stop, 6);
      EXPECT_FALSE(data::pack(stopping, options, stop).finished);
      EXPECT_TRUE(pack(options).finished);
      packed.push_back(files(options.output));
    }
    EXPECT_TRUE(packed[1] == packed[0]);
  }
}

TEST_F(PackerTest, BrokenLongClipsCostThemselvesOnly) {
  std::vector<float> samples(100'000, 0.1F);
  samples[90'000] = std::numeric_limits<float>::quiet_NaN();
  clips_.folder().write("01.wav", test::wav_bytes(samples));
  clips_.folder().write("02.wav", test::wav_bytes(test::sine(4.0, 300), {.claimed_data_bytes = 1'000'000}));
  clips_.folder().write("03.wav", test::wav_bytes(std::vector<float>(100'000, 1e30F)));
  auto options = this->options("p");
  options.long_seconds = 0.001;
  const auto report = pack(options);
  EXPECT_EQ(report.clips, 7);
  EXPECT_EQ(report.broken, 3);
  const std::string list = read_file(options.output / "broken.jsonl");
  for (const char* part : {"01.wav", "at 5.625 s", "02.wav", "truncated", "03.wav", "not finite"})
    EXPECT_NE(list.find(part), std::string::npos) << list;
  EXPECT_TRUE(verify(PackedSet(options.output), 2).empty());
}

TEST_F(PackerTest, LittleMemoryChangesNothingOfTheShards) {
  auto options = this->options("p");
  pack(options);
  const auto whole = files(options.output);
  options = this->options("little", 4);
  options.memory_mb = 1;
  pack(options);
  EXPECT_TRUE(files(options.output) == whole);
}

TEST_F(PackerTest, BrokenClipsAreCountedListedAndLeftOut) {
  clips_.folder().write("02.wav", "no audio");
  clips_.folder().write("09.wav", "");
  const auto report = pack(options("p"));
  EXPECT_EQ(report.clips, 8);
  EXPECT_EQ(report.broken, 2);
  const std::string list = read_file(folder_.path() / "p/broken.jsonl");
  for (const char* part : {"02.wav", "not audio", "09.wav", "is empty"})
    EXPECT_NE(list.find(part), std::string::npos) << list;
  EXPECT_EQ(PackedSet(folder_.path() / "p").info().broken, 2);
  EXPECT_EQ(pack(options("p")).broken, 2);  // nothing left to do
  const test::Clips none(std::vector<double>{0.1});
  none.folder().write("00.wav", "no audio");
  const std::atomic<bool> stop{false};
  const auto clips = stream_manifest(load_manifest(none.options()));
  test::expect_error([&] { data::pack(*clips, options("q"), stop); }, {"none of 1 clips", "00.wav"});
}

TEST_F(PackerTest, AnotherListOrFormatInTheSameFolderIsRefused) {
  auto options = this->options("p");
  pack(options);
  options.encoding = Encoding::kLogMel16;
  test::expect_usage_error([&] { pack(options); }, {options.output.string(), "--format"});
  options.encoding = Encoding::kPcm16;
  options.audio.mels = 64;
  test::expect_usage_error([&] { pack(options); }, {"audio.mels 80", "64"});
  options.audio.mels = 80;
  clips_.folder().write("new.wav", test::wav_bytes(test::sine(1, 300)));
  test::expect_usage_error([&] { pack(options); }, {"another list"});
  fs::remove(options.output / "pack.json");  // the same for one that is not finished
  test::expect_usage_error([&] { pack(options); }, {"another list"});
}

TEST_F(PackerTest, NamesThatLeadOutOfTheFolderAreOnlyNames) {
  const std::string audio = read_file(load_manifest(clips_.options()).clips[0].path);
  const std::string absolute = (folder_.path() / "elsewhere/c").string();
  const auto tars = stream_tars({folder_.write(
      "in/a.tar",
      test::tar_bytes({{"../../a.wav", audio}, {"x/../../../b.wav", "broken"}, {absolute + ".wav", audio}}))});
  const auto all_files = [&] {
    std::set<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) files.insert(entry.path().string());
    return files;
  };
  const auto before = all_files();
  const std::atomic<bool> stop{false};
  data::pack(*tars, options("out/deeper/p"), stop);
  for (const std::string& file : all_files())
    EXPECT_TRUE(before.contains(file) || file.starts_with((folder_.path() / "out").string())) << file;
  EXPECT_FALSE(fs::exists(folder_.path().parent_path() / "a.wav"));
  const PackedSet set(folder_.path() / "out/deeper/p");
  ASSERT_EQ(set.size(), 2);
  EXPECT_EQ(set.clip(0).id, "../../a");
  EXPECT_EQ(set.clip(1).id, absolute);
}

TEST_F(PackerTest, ArchivesGiveTheSameClipsAsTheirFiles) {
  test::TarMembers members;
  for (const Clip& clip : load_manifest(clips_.options()).clips) members.emplace_back(clip.id, read_file(clip.path));
  members.insert(members.begin() + 1, {"00.cls", "4"});
  pack(options("files"));
  const std::atomic<bool> stop{false};
  const auto tars = stream_tars({folder_.write("a.tar", test::tar_bytes(members))});
  data::pack(*tars, options("tar"), stop);
  const PackedSet files(folder_.path() / "files"), tar(folder_.path() / "tar");
  ASSERT_EQ(tar.size(), files.size());
  EXPECT_EQ(tar.clip(0).labels, "4");
  for (std::int64_t n = 0; n < tar.size(); ++n) {
    EXPECT_EQ(tar.clip(n).checksum, files.clip(n).checksum);
    EXPECT_EQ(tar.clip(n).mean, files.clip(n).mean);
  }
}

TEST_F(PackerTest, DamagedDataIsFoundByVerifying) {
  const auto options = this->options("p");
  pack(options);
  EXPECT_TRUE(verify(PackedSet(options.output), 3).empty());
  const fs::path shard = options.output / "shard-00000.axs";
  std::string bytes = read_file(shard);
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  write_file_atomic(shard, bytes);
  EXPECT_EQ(verify(PackedSet(options.output), 3), std::vector<std::string>{"00.wav"});
}

TEST_F(PackerTest, AShardOfAnotherPackingIsRejected) {
  auto options = this->options("p");
  pack(options);
  options.output = folder_.path() / "q";
  options.shard_mb = 2;
  pack(options);
  fs::copy_file(options.output / "shard-00000.axs", folder_.path() / "p/shard-00000.axs",
                fs::copy_options::overwrite_existing);
  test::expect_error([&] { PackedSet set(folder_.path() / "p"); }, {"shard-00000.axs", "pack again"});
  std::string index = read_file(options.output / "pack.json");
  index.replace(index.find("shard-00000.axs"), 15, "../p/shard.axs");
  write_file_atomic(options.output / "pack.json", index);
  test::expect_error([&] { PackedSet set(options.output); }, {"pack.json", "../p/shard.axs", "no file of the folder"});
  test::expect_error([&] { PackedSet set(folder_.path()); }, {folder_.path().string(), "not a folder that pack wrote"});
}

TEST_F(PackerTest, WhatItHoldsCanBePrinted) {
  pack(options("p"));
  const std::string text = describe(PackedSet(folder_.path() / "p"));
  for (const char* part : {"10, 0.02 hours", "16-bit samples at 16000 Hz", "80 mels", clips_.folder().path().c_str()})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

}  // namespace
}  // namespace axlstm::data
