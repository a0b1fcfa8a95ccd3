#include "axlstm/embed/extraction.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/embed/open.h"
#include "core/wav.h"
#include "support/npy.h"
#include "support/tmpdir.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

const fs::path kData = fs::path(AXLSTM_TEST_DATA) / "data";
constexpr double kAllAreLong = 0.01;

/// A folder of clips of several formats, rates, channels and lengths, embedded by the path of short clips or of long.
class LongFiles : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(audio_);
    for (const char* file :
         {"audio/music/loops/loop_garzul.mp3", "audio/music/drums/drum_roll.opus", "formats/vorbis.ogg",
          "audio/music/percussion/perc_till.flac", "audio/music/electronic/elec_chime.wav"})
      fs::copy(kData / file, audio_ / fs::path(file).filename());
    std::vector<std::int16_t> stereo;
    for (const std::int16_t sample : test::sine(7.3, 300, 44100)) stereo.insert(stereo.end(), {sample, 0});
    folder_.write("audio/stereo.wav", test::wav_bytes(stereo, {.sample_rate = 44100, .channels = 2}));
    folder_.write("audio/whole_chunks.wav", test::wav_bytes(test::sine(4.0, 300)));
    folder_.write("audio/short.wav", test::wav_bytes(test::sine(0.1, 300)));
    const std::string yaml = "model: {size: custom, dim: 16, depth: 2, expansion: 2, patch_frames: 8}\n";
    encoder_ = open({.name = "random:" + folder_.write("nano.yaml", yaml).string(), .layout = {}}, torch::kCPU, false);
  }

  ExtractionReport extract(const std::string& output, ExtractionOptions options) {
    options.output_dir = folder_.path() / output;
    return extract_files(*encoder_, {audio_}, options);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(audio_)) names.push_back(entry.path().filename().string());
    return names;
  }

  void expect_same_arrays(EmbeddingKind kind) {
    EXPECT_EQ(extract("short", {.output_dir = {}, .kind = kind}).written, 8);
    EXPECT_EQ(extract("long", {.output_dir = {}, .kind = kind, .long_seconds = kAllAreLong}).written, 8);
    for (const std::string& name : names()) {
      const auto a = test::read_npy(folder_.path() / "short" / (name + ".npy"));
      const auto b = test::read_npy(folder_.path() / "long" / (name + ".npy"));
      ASSERT_EQ(a.shape, b.shape) << name;
      for (std::size_t n = 0; n < a.values.size(); ++n) ASSERT_NEAR(a.values[n], b.values[n], tolerance_) << name;
      if (kind == EmbeddingKind::kScene) continue;
      const auto times = [&](const char* folder) {
        return nlohmann::json::parse(read_file(folder_.path() / folder / (name + ".timestamps.json")))
            .get<std::vector<double>>();
      };
      const auto c = times("short"), d = times("long");
      ASSERT_EQ(c.size(), d.size()) << name;
      for (std::size_t n = 0; n < c.size(); ++n) ASSERT_NEAR(c[n], d[n], 1e-6) << name;
    }
  }

  test::TemporaryFolder folder_;
  fs::path audio_ = folder_.path() / "audio";
  std::unique_ptr<ClipEncoder> encoder_;
  double tolerance_ = 2e-5;
};

TEST_F(LongFiles, TheirScenesAreThoseOfShortOnes) { expect_same_arrays(EmbeddingKind::kScene); }

TEST_F(LongFiles, TheirTimeStepsAreThoseOfShortOnes) { expect_same_arrays(EmbeddingKind::kTimestamp); }

TEST_F(LongFiles, HearNaivesToo) {
  encoder_ = open({.name = "naive", .layout = {}}, torch::kCPU, false);
  tolerance_ = 1e-3;  // of numbers up to some hundreds
  expect_same_arrays(EmbeddingKind::kScene);
  expect_same_arrays(EmbeddingKind::kTimestamp);
}

TEST_F(LongFiles, TablesHaveTheSameRowsInTheSameOrder) {
  for (const EmbeddingKind kind : {EmbeddingKind::kScene, EmbeddingKind::kTimestamp}) {
    extract("short", {.output_dir = {}, .kind = kind, .format = OutputFormat::kCsv});
    // Some are long and some are not.
    extract("long", {.output_dir = {}, .kind = kind, .format = OutputFormat::kCsv, .long_seconds = 3});
    std::istringstream a(read_file(folder_.path() / "short/embeddings.csv"));
    std::istringstream b(read_file(folder_.path() / "long/embeddings.csv"));
    int rows = 0;
    for (std::string x, y; std::getline(a, x); ++rows) {
      ASSERT_TRUE(std::getline(b, y));
      std::istringstream left(x), right(y);
      for (std::string u, v; std::getline(left, u, ',');) {
        ASSERT_TRUE(std::getline(right, v, ','));
        if (rows > 0 && u.find(".") != std::string::npos &&
            u.find_first_not_of("0123456789.e+-") == std::string::npos) {
          ASSERT_NEAR(std::stod(u), std::stod(v), 1e-3) << x;
        } else if (u.find_first_not_of("0123456789.e+-") != std::string::npos) {
          ASSERT_EQ(u, v);
        }
      }
      ASSERT_FALSE(right.rdbuf()->in_avail() > 0);
    }
    std::string more;
    EXPECT_FALSE(std::getline(b, more));
    EXPECT_GT(rows, 8);
  }
}

TEST_F(LongFiles, BadOnesCostThemselvesOnlyAndLeaveNothingBehind) {
  std::vector<float> samples(100'000, 0.1F);
  samples[90'000] = std::numeric_limits<float>::quiet_NaN();
  folder_.write("audio/nan.wav", test::wav_bytes(samples));
  folder_.write("audio/huge.wav", test::wav_bytes(std::vector<float>(100'000, 1e30F)));
  folder_.write("audio/cut.wav", test::wav_bytes(test::sine(4.0, 300), {.claimed_data_bytes = 1'000'000}));
  folder_.write("audio/nearly.wav", test::wav_bytes(test::sine(4.0, 300), {.claimed_data_bytes = 130'000}));
  for (const OutputFormat format : {OutputFormat::kNpy, OutputFormat::kCsv}) {
    const std::string output = format == OutputFormat::kNpy ? "npy" : "csv";
    const auto report = extract(output, {.output_dir = {},
                                         .kind = EmbeddingKind::kTimestamp,
                                         .format = format,
                                         .batch_seconds = 1,
                                         .long_seconds = kAllAreLong});
    EXPECT_EQ(report.written, 9);
    EXPECT_EQ(report.partial, 1);
    ASSERT_EQ(report.failures.size(), 3U);
    const std::string failures = report.failures[0] + report.failures[1] + report.failures[2];
    for (const char* part : {"nan.wav", "at 5.625 s", "huge.wav", "not finite", "cut.wav", "truncated"})
      EXPECT_NE(failures.find(part), std::string::npos) << failures;
    for (const auto& entry : fs::directory_iterator(folder_.path() / output))
      EXPECT_EQ(entry.path().filename().string().find("spool"), std::string::npos);
  }
  const std::string csv = read_file(folder_.path() / "csv/embeddings.csv");
  for (const char* bad : {"nan.wav", "huge.wav", "cut.wav"}) EXPECT_EQ(csv.find(bad), std::string::npos);
  EXPECT_NE(csv.find("nearly.wav"), std::string::npos);
}

/// The scene of a clip is its length and its first sample, its time steps its samples. Refuses clips of 3 samples; what
/// clips of 4 give is not finite. Shorter batches are done sooner. A pass takes so many samples, or any number.
class Slow final : public ClipEncoder {
 public:
  explicit Slow(int calls_at_once, std::int64_t samples_of_a_pass = 0)
      : calls_at_once_(calls_at_once), samples_of_a_pass_(samples_of_a_pass) {}

  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) override {
    most_ = std::max(most_.load(), ++running_);
    std::this_thread::sleep_for(std::chrono::milliseconds(waveforms.size()));
    --running_;
    std::int64_t samples = 0;
    for (const auto& waveform : waveforms) samples += waveform.size(0);
    if (samples > samples_of_a_pass_) ++overfull_;
    ++calls_;
    std::vector<ClipEmbedding> embeddings;
    for (const auto& waveform : waveforms) {
      const auto T = waveform.size(0);
      AXLSTM_CHECK(T != 3, "three samples");
      const auto steps = T == 4 ? torch::full({T, 1}, INFINITY) : waveform.unsqueeze(1);
      if (kind == EmbeddingKind::kScene) {
        embeddings.push_back({.scene = torch::stack({torch::tensor(static_cast<float>(T)), steps[0][0]}),
                              .timestamps = {},
                              .timestamps_ms = {}});
      } else {
        embeddings.push_back({{}, steps, std::vector<double>(static_cast<std::size_t>(T), 0.0)});
      }
    }
    return embeddings;
  }
  int sample_rate() const override { return 16000; }
  int decoding_threads() const override { return 2; }
  int calls_at_once() const override { return calls_at_once_; }
  double passes(double seconds) const override {
    return samples_of_a_pass_ > 0 ? seconds * 16000 / static_cast<double>(samples_of_a_pass_) : 0;
  }

  int calls() const { return calls_; }
  int overfull() const { return overfull_; }  ///< calls with more samples than a pass takes
  int most() const { return most_; }          ///< calls at once that there were

 private:
  int calls_at_once_;
  std::int64_t samples_of_a_pass_;
  std::atomic<int> running_ = 0, most_ = 0, calls_ = 0, overfull_ = 0;
};

TEST(Extraction, NeitherCallsAtOnceNorBatchesChangeAByte) {
  const test::TemporaryFolder folder;
  for (int n = 0; n < 200; ++n) {
    const std::vector<float> samples(static_cast<std::size_t>(5 + n * 37 % 91), static_cast<float>(n) / 256);
    folder.write(str("audio/", 1000 + n, ".wav"), test::wav_bytes(samples));
  }
  folder.write("audio/1050-bad.wav", test::wav_bytes(std::vector<float>(3, 0.5F)));
  folder.write("audio/1150-bad.wav", test::wav_bytes(std::vector<float>(4, 0.5F)));
  for (const EmbeddingKind kind : {EmbeddingKind::kScene, EmbeddingKind::kTimestamp}) {
    std::string expected;
    for (const int calls : {1, 2, 3}) {
      for (const double seconds : {0.0, 0.02, 512.0}) {
        Slow encoder(calls);
        const fs::path output = folder.path() / str("out-", calls, "-", seconds, "-", enum_name(kind));
        const auto report =
            extract_files(encoder, {folder.path() / "audio"},
                          {.output_dir = output, .kind = kind, .format = OutputFormat::kCsv, .batch_seconds = seconds});
        EXPECT_EQ(report.written, 200);
        ASSERT_EQ(report.failures.size(), 2U);
        EXPECT_NE(report.failures[0].find("1050-bad.wav: three samples"), std::string::npos) << report.failures[0];
        EXPECT_NE(report.failures[1].find("1150-bad.wav: its embedding holds NaN"), std::string::npos)
            << report.failures[1];
        EXPECT_LE(encoder.most(), calls);
        if (seconds < 1) {
          EXPECT_EQ(encoder.most() > 1, calls > 1);
        }
        const std::string csv = read_file(output / "embeddings.csv");
        if (expected.empty()) expected = csv;
        EXPECT_TRUE(csv == expected) << calls << " calls, batches of " << seconds << " s";
      }
    }
  }
}

TEST(Extraction, ABatchIsAFullPass) {
  const test::TemporaryFolder folder;
  constexpr int kClips = 100, kSamples = 50;
  for (int n = 0; n < kClips; ++n)
    folder.write(str("audio/", 1000 + n, ".wav"), test::wav_bytes(std::vector<float>(kSamples, 0.5F)));
  const auto calls = [&](std::int64_t samples_of_a_pass, double seconds) {
    Slow encoder(2, samples_of_a_pass);
    const fs::path output = folder.path() / str("out-", samples_of_a_pass, "-", seconds);
    const auto report = extract_files(
        encoder, {folder.path() / "audio"},
        {.output_dir = output, .kind = EmbeddingKind::kScene, .format = OutputFormat::kCsv, .batch_seconds = seconds});
    EXPECT_EQ(report.written, kClips);
    if (samples_of_a_pass >= kSamples) {
      EXPECT_EQ(encoder.overfull(), 0);
    }
    return encoder.calls();
  };
  EXPECT_EQ(calls(500, 512), 10);
  EXPECT_EQ(calls(549, 512), 10);
  EXPECT_EQ(calls(550, 512), 10);     // 11 clips each, the last one one
  EXPECT_EQ(calls(500, 0.01), 25);    // 160 samples, and the clip that crosses them
  EXPECT_EQ(calls(40, 512), kClips);  // longer than a pass
  EXPECT_EQ(calls(0, 512), 1);
}

}  // namespace
}  // namespace axlstm::embed
