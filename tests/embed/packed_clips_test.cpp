#include <gtest/gtest.h>
#include <torch/torch.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "axlstm/core/files.h"
#include "axlstm/data/packer.h"
#include "axlstm/data/shards/packed.h"
#include "axlstm/embed/extraction.h"
#include "axlstm/embed/open.h"
#include "core/wav.h"
#include "support/expect_error.h"
#include "support/npy.h"
#include "support/tmpdir.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

const fs::path kData = fs::path(AXLSTM_TEST_DATA) / "data";
constexpr const char *kShard = "shard-00000.axs", *kSecond = "shard-00001.axs";
constexpr const char* kNano = "model: {size: custom, dim: 16, depth: 2, expansion: 2, patch_frames: 8}\n";

/// A folder of clips of several formats and lengths, embedded from its files and from shards.
class PackedClips : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(audio_ / "deeper");
    fs::copy(kData / "audio/music/electronic/elec_chime.wav", audio_ / "deeper/chime.wav");
    fs::copy(kData / "formats/vorbis.ogg", audio_ / "vorbis.ogg");
    folder_.write("audio/plain.wav", test::wav_bytes(test::sine(5.3, 300)));
    folder_.write("audio/short.wav", test::wav_bytes(test::sine(0.1, 300)));
    folder_.write("audio/tiny.wav", test::wav_bytes(test::sine(0.001, 300)));
    folder_.write("audio/whole_chunks.wav", test::wav_bytes(test::sine(4.0, 300)));
    encoder_ = encoder(kNano);
  }

  std::unique_ptr<ClipEncoder> encoder(const std::string& yaml) {
    return open({.name = "random:" + folder_.write("nano.yaml", yaml).string(), .layout = {}}, torch::kCPU, false);
  }

  fs::path pack(data::Manifest manifest, data::Encoding encoding, const features::LogMelOptions& audio = {}) {
    data::PackOptions options;
    options.output = folder_.path() / str("packed", packings_++);
    options.encoding = encoding;
    options.audio = audio;
    const std::atomic<bool> stop{false};
    EXPECT_EQ(data::pack(*data::stream_manifest(std::move(manifest)), options, stop).broken, 0);
    return options.output;
  }

  fs::path pack(data::Encoding encoding, const features::LogMelOptions& audio = {}) {
    data::DataOptions list;
    list.root = audio_.string();
    return pack(data::load_manifest(list), encoding, audio);
  }

  /// One clip under these ids.
  fs::path pack_ids(const std::vector<std::string>& ids) {
    data::Manifest manifest;
    for (const std::string& id : ids) manifest.clips.add((audio_ / "short.wav").string(), id, {}, {});
    return pack(std::move(manifest), data::Encoding::kPcm16);
  }

  fs::path out(const std::string& name) const { return folder_.path() / name; }

  ExtractionReport from_files(const std::string& output, ExtractionOptions options = {}) {
    options.output_dir = out(output);
    return extract_files(*encoder_, {audio_}, options);
  }

  ExtractionReport from(const fs::path& packed, const std::string& output, ExtractionOptions options = {}) {
    options.output_dir = out(output);
    return extract_packed(*encoder_, packed, options);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(audio_))
      if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(audio_).string());
    return names;
  }

  std::vector<double> times(const std::string& output, const std::string& name) const {
    return nlohmann::json::parse(read_file(out(output) / (name + ".timestamps.json"))).get<std::vector<double>>();
  }

  void expect_near(const std::string& a, const std::string& b, EmbeddingKind kind, double tolerance,
                   double ms_tolerance) const {
    for (const std::string& name : names()) {
      const auto x = test::read_npy(out(a) / (name + ".npy")), y = test::read_npy(out(b) / (name + ".npy"));
      ASSERT_EQ(x.shape, y.shape) << name;
      for (std::size_t n = 0; n < x.values.size(); ++n) ASSERT_NEAR(x.values[n], y.values[n], tolerance) << name;
      if (kind == EmbeddingKind::kScene) continue;
      const auto s = times(a, name), t = times(b, name);
      ASSERT_EQ(s.size(), t.size()) << name;
      for (std::size_t n = 0; n < s.size(); ++n) ASSERT_NEAR(s[n], t[n], ms_tolerance) << name;
    }
  }

  test::TemporaryFolder folder_;
  fs::path audio_ = folder_.path() / "audio";
  std::unique_ptr<ClipEncoder> encoder_;
  int packings_ = 0;
};

TEST_F(PackedClips, SamplesGiveWhatFilesGive) {
  const fs::path packed = pack(data::Encoding::kPcm16);
  for (const auto kind : {EmbeddingKind::kScene, EmbeddingKind::kTimestamp}) {
    EXPECT_EQ(from_files("files", {.output_dir = {}, .kind = kind}).written, 6);
    EXPECT_EQ(from(packed, "packed", {.output_dir = {}, .kind = kind}).written, 6);
    expect_near("files", "packed", kind, 0.3, 1e-9);  // where a compressed file is silent, rounding is heard
    for (const char* exact : {"plain.wav", "short.wav", "tiny.wav", "whole_chunks.wav"}) {
      EXPECT_EQ(read_file(out("files") / (str(exact, ".npy"))), read_file(out("packed") / (str(exact, ".npy"))))
          << exact << ": the samples are the same 16-bit numbers";
    }
  }
}

TEST_F(PackedClips, LogMelGivesWhatFilesGiveToItsRounding) {
  for (const auto clip_std : {features::ClipStd::kUnbiased, features::ClipStd::kBiased}) {
    encoder_ = encoder(str(kNano, "audio: {clip_std: ", enum_name(clip_std), "}\n"));
    const fs::path packed = pack(data::Encoding::kLogMel16);
    for (const auto kind : {EmbeddingKind::kScene, EmbeddingKind::kTimestamp}) {
      EXPECT_EQ(from_files("files", {.output_dir = {}, .kind = kind}).written, 6);
      EXPECT_EQ(from(packed, "packed", {.output_dir = {}, .kind = kind}).written, 6);
      expect_near("files", "packed", kind, 2e-2, 10);
    }
  }
}

TEST_F(PackedClips, NeitherBatchesNorLengthsChangeThem) {
  for (const auto encoding : {data::Encoding::kPcm16, data::Encoding::kLogMel16}) {
    const fs::path packed = pack(encoding);
    const auto kind = EmbeddingKind::kTimestamp;
    from(packed, "together", {.output_dir = {}, .kind = kind});
    from(packed, "alone", {.output_dir = {}, .kind = kind, .batch_seconds = 0.01});
    from(packed, "long", {.output_dir = {}, .kind = kind, .long_seconds = 0});
    expect_near("together", "alone", kind, 2e-5, 0);
    expect_near("together", "long", kind, 2e-5, 1e-6);
  }
}

TEST_F(PackedClips, TablesHaveTheirIdsInTheirOrder) {
  const fs::path packed = pack(data::Encoding::kPcm16);
  EXPECT_EQ(from(packed, "csv", {.output_dir = {}, .format = OutputFormat::kCsv}).written, 6);
  EXPECT_EQ(from_files("files", {.output_dir = {}, .format = OutputFormat::kCsv}).written, 6);
  const auto ids = [&](const char* output) {
    std::istringstream csv(read_file(out(output) / "embeddings.csv"));
    std::string ids;
    for (std::string line; std::getline(csv, line);) ids += line.substr(0, line.find(',')) + " ";
    return ids;
  };
  EXPECT_EQ(ids("csv"), ids("files"));
}

TEST_F(PackedClips, AnotherFrontEndIsRefused) {
  for (const auto encoding : {data::Encoding::kPcm16, data::Encoding::kLogMel16}) {
    const fs::path packed = pack(encoding, {.hop = 320});
    test::expect_usage_error([&] { from(packed, "out"); },
                             {packed.string(), "audio.hop 320", "audio.hop is 160", "pack the audio again"});
    EXPECT_FALSE(fs::exists(out("out")));
  }
}

TEST_F(PackedClips, HearNaiveTakesSamplesOnly) {
  encoder_ = open({.name = "naive", .layout = {}}, torch::kCPU, false);
  EXPECT_EQ(from(pack(data::Encoding::kPcm16), "packed").written, 6);
  const fs::path log_mel = pack(data::Encoding::kLogMel16);
  test::expect_usage_error([&] { from(log_mel, "out"); }, {log_mel.string(), "logmel16", "pcm16"});
}

TEST_F(PackedClips, IdsStayInTheOutputFolder) {
  for (const std::string& bad : {std::string("../a"), std::string("a/../../b"), std::string("/a"), std::string(".."),
                                 std::string("."), std::string("a/"), std::string("a\0b", 3)}) {
    const fs::path packed = pack_ids({"good", bad});
    test::expect_usage_error([&] { from(packed, "out"); }, {packed.string(), str("'", bad.c_str()), "--format csv"});
    EXPECT_FALSE(fs::exists(out("out")));
    EXPECT_EQ(from(packed, "table", {.output_dir = {}, .format = OutputFormat::kCsv}).written, 2) << bad;
  }
  EXPECT_EQ(from(pack_ids({"a/b/../c", "..b", "c.wav/d"}), "out").written, 3);
  for (const char* name : {"a/c.npy", "..b.npy", "c.wav/d.npy"}) EXPECT_TRUE(fs::exists(out("out") / name)) << name;
}

TEST_F(PackedClips, TwoOfOneOutputAreRefused) {
  for (const char* twin : {"a/b", "a//b", "a/./b", "x/../a/b"}) {
    const fs::path packed = pack_ids({"a/b", "c", twin});
    test::expect_usage_error([&] { from(packed, "out"); }, {packed.string(), "'a/b'", str("'", twin, "'")});
  }
  test::expect_usage_error(
      [&] {
        from(pack_ids({"../a", "../a"}), "out", {.output_dir = {}, .format = OutputFormat::kCsv});
      },
      {"'../a'"});
}

TEST_F(PackedClips, DamagedOnesCostThemselves) {
  for (const auto encoding : {data::Encoding::kPcm16, data::Encoding::kLogMel16}) {
    const fs::path packed = pack(encoding), shard = packed / kShard;
    const data::PackedSet set(packed);
    const data::ShardView first = set.clip(0);
    const std::string id(first.id), whole = read_file(shard);
    std::string bytes = whole;
    bytes[first.offset + first.bytes - 1] ^= 1;
    write_file_atomic(shard, bytes);
    for (const double long_seconds : {0.0, 600.0}) {
      fs::remove_all(out("out"));
      const auto report = from(packed, "out", {.output_dir = {}, .long_seconds = long_seconds});
      EXPECT_EQ(report.written, 5);
      ASSERT_EQ(report.failures.size(), 1U);
      for (const std::string& part : {shard.string(), id, std::string("checksum"), std::string("pack again")})
        EXPECT_NE(report.failures[0].find(part), std::string::npos) << report.failures[0];
      EXPECT_FALSE(fs::exists(out("out") / (id + ".npy")));
    }
  }
}

TEST_F(PackedClips, ADamagedShardCostsItself) {
  const fs::path packed = pack_ids({"a", "b"}), other = pack_ids({"c"});
  fs::copy(other / kShard, packed / kSecond);
  auto json = nlohmann::json::parse(read_file(packed / "pack.json"));
  auto second = nlohmann::json::parse(read_file(other / "pack.json"))["shards"][0];
  second["file"] = kSecond;
  json["shards"].push_back(second);
  write_file_atomic(packed / "pack.json", json.dump());
  EXPECT_EQ(from(packed, "whole").written, 3);
  fs::resize_file(packed / kShard, 1000);
  const auto report = from(packed, "out");
  EXPECT_EQ(report.written, 1);
  ASSERT_EQ(report.failures.size(), 1U);
  EXPECT_NE(report.failures[0].find(kShard), std::string::npos) << report.failures[0];
  EXPECT_NE(report.failures[0].find("2 clips"), std::string::npos) << report.failures[0];
  fs::remove(packed / kSecond);
  const auto none = from(packed, "none");
  EXPECT_EQ(none.written, 0);
  EXPECT_EQ(none.failures.size(), 2U);
}

}  // namespace
}  // namespace axlstm::embed
