// extract --stream, fed by pipes as recorders do. What is waited for are lines, never a time.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/wav.h"
#include "fixture.h"
#include "support/npy.h"

namespace axlstm::test {
namespace {

namespace fs = std::filesystem;

/// Ends that programs started meanwhile do not inherit.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  }
  ~Pipe() {
    close_reading();
    close_writing();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int reading() const { return ends_[0]; }
  int writing() const { return ends_[1]; }
  void close_reading() { close(0); }
  void close_writing() { close(1); }

 private:
  void close(std::size_t end) {
    if (ends_[end] >= 0) ::close(ends_[end]);
    ends_[end] = -1;
  }

  std::array<int, 2> ends_{};
};

template <typename Sample>
std::string raw(const std::vector<Sample>& samples) {
  return {reinterpret_cast<const char*>(samples.data()), samples.size() * sizeof(Sample)};
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

class ExtractStream : public testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    folder_.write("tiny.yaml", "model: {size: custom, dim: 16, depth: 2, expansion: 2, patch_frames: 8}\n");
  }

  std::vector<std::string> command(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"extract", "--device", "cpu", "--model",
                                       "random:" + (folder_.path() / "tiny.yaml").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  /// With all of `input` on standard input.
  ProcessResult stream(const std::string& input, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"--stream"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Pipe pipe;
    Process process(command(arguments), 0, -1, {pipe.reading(), -1});
    pipe.close_reading();
    feed(pipe, input);
    pipe.close_writing();
    return process.wait();
  }

  /// False if the program reads no more.
  static bool feed(const Pipe& pipe, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(pipe.writing(), bytes.data(), bytes.size());
      if (written < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
  }

  /// Waits until the program has written `count` lines; false if it ends before.
  static bool wait_for_lines(Process& process, std::ptrdiff_t count) {
    const auto there = [&] {
      const std::string out = process.out();
      return std::count(out.begin(), out.end(), '\n') >= count;
    };
    while (!there()) {
      if (!process.running()) return there();
      ::usleep(1000);
    }
    return true;
  }

  TemporaryFolder folder_;
};

TEST_F(ExtractStream, ALineForEachChunkWhileTheSoundGoesOn) {
  Pipe pipe;
  Process process(command({"--stream", "--rate", "16000"}), 0, -1, {pipe.reading(), -1});
  pipe.close_reading();
  const std::string two_seconds = raw(sine(2.01, 440));
  ASSERT_TRUE(feed(pipe, two_seconds));
  ASSERT_TRUE(wait_for_lines(process, 1)) << process.err();
  ASSERT_TRUE(feed(pipe, two_seconds));
  ASSERT_TRUE(wait_for_lines(process, 2)) << process.err();
  EXPECT_TRUE(process.running());
  pipe.close_writing();
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1]["start_ms"], 2000);
  EXPECT_EQ(lines[1]["end_ms"], 4000);
  EXPECT_EQ(lines[2]["end_ms"], 4020);
  EXPECT_EQ(lines[1]["embedding"].size(), 5U * 16);
}

TEST_F(ExtractStream, IsTheFileWithTheFilesOwnStatistics) {
  const auto samples = sine(5.3, 300);
  folder_.write("clip.wav", wav_bytes(samples));
  const auto embedded = run(command(
      {"--output", (folder_.path() / "out").string(), "--kind", "timestamp", (folder_.path() / "clip.wav").string()}));
  ASSERT_EQ(embedded.exit_code, 0) << embedded.err;
  const auto file = read_npy(folder_.path() / "out/clip.wav.npy");

  const auto first = stream(raw(samples), {"--kind", "timestamp"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const std::string option = "--statistics=";
  const auto at = first.err.find(option);
  ASSERT_NE(at, std::string::npos) << first.err;
  const std::string statistics = first.err.substr(at, first.err.find('\n', at) - at);
  for (const std::string& input : {raw(samples), wav_bytes(samples)}) {
    const auto again = stream(input, {"--kind", "timestamp", statistics});
    ASSERT_EQ(again.exit_code, 0) << again.err;
    const auto lines = json_lines(again.out);
    ASSERT_EQ(static_cast<std::int64_t>(lines.size()), file.shape[0]);
    std::size_t n = 0;
    for (const auto& line : lines) {
      for (const float value : line["embedding"].get<std::vector<float>>()) ASSERT_NEAR(value, file.values[n++], 1e-5);
    }
  }
}

TEST_F(ExtractStream, CarriesAStateIfTheModelHasOne) {
  const std::string sound = raw(sine(5, 440));
  const auto reset = stream(sound), carried = stream(sound, {"--state", "carry"});
  ASSERT_EQ(carried.exit_code, 0) << carried.err;
  const auto a = json_lines(reset.out), b = json_lines(carried.out);
  ASSERT_EQ(a.size(), b.size());
  EXPECT_NE(a[1]["embedding"], b[1]["embedding"]);
  const std::string common = "model: {size: custom, dim: 16, depth: 2, patch_frames: 8, ";
  folder_.write("tiny.yaml", common + "arch: ssast, attention_heads: 2}\n");
  const auto attention = stream(sound, {"--state", "carry"});
  EXPECT_EQ(attention.exit_code, 2);
  EXPECT_NE(attention.err.find("model.arch ssast has no state"), std::string::npos) << attention.err;
  folder_.write("tiny.yaml", common + "flip: true}\n");
  const auto flipped = stream(sound, {"--state", "carry"});
  EXPECT_EQ(flipped.exit_code, 2);
  EXPECT_NE(flipped.err.find("model.flip=false"), std::string::npos) << flipped.err;
}

TEST_F(ExtractStream, RowsOfFloatsAreTheSameNumbers) {
  const std::string input = raw(sine(4.5, 440));
  const auto lines = json_lines(stream(input).out);
  const std::string rows = stream(input, {"--output-format", "f32"}).out;
  ASSERT_EQ(rows.size(), lines.size() * 80 * sizeof(float));
  std::string expected;
  for (const auto& line : lines) expected += raw(line["embedding"].get<std::vector<float>>());
  EXPECT_EQ(rows, expected);
}

TEST_F(ExtractStream, OtherRatesAreResampledIfThatIsWanted) {
  const std::string input = wav_bytes(sine(2.5, 440, 44100), {.sample_rate = 44100, .claimed_data_bytes = 0xFFFFFFFFU});
  const auto refused = stream(input);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("is at 44100 Hz, the model needs 16000 Hz; --resample"), std::string::npos) << refused.err;
  const auto result = stream(input, {"--resample"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NEAR(lines[1]["end_ms"].get<double>(), 2500, 0.1);
}

TEST_F(ExtractStream, ASignalEndsItWithWhatIsKnown) {
  for (const int number : {SIGINT, SIGTERM}) {
    Pipe pipe;
    Process process(command({"--stream"}), 0, -1, {pipe.reading(), -1});
    pipe.close_reading();
    ASSERT_TRUE(feed(pipe, raw(sine(2.01, 440))));
    ASSERT_TRUE(wait_for_lines(process, 1)) << process.err();
    process.signal(number);
    const auto result = process.wait();
    EXPECT_EQ(result.exit_code, 75) << result.err;
    EXPECT_EQ(json_lines(result.out).size(), 2U);  // the second is what began
  }
}

TEST_F(ExtractStream, AReaderThatLeavesEndsItQuietly) {
  Pipe pipe, out;
  Process process(command({"--stream", "--quiet"}), 0, -1, {pipe.reading(), out.writing()});
  pipe.close_reading();
  out.close_writing();
  ASSERT_TRUE(feed(pipe, raw(sine(2.01, 440))));
  char first = 0;
  ASSERT_EQ(::read(out.reading(), &first, 1), 1);
  out.close_reading();
  const std::string more = raw(sine(2, 440));
  while (feed(pipe, more)) {
  }
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
}

TEST_F(ExtractStream, ASlowReaderLosesNothing) {
  Pipe pipe, out;
  Process process(command({"--stream", "--quiet", "--kind", "timestamp", "--output-format", "f32"}), 0, -1,
                  {pipe.reading(), out.writing()});
  pipe.close_reading();
  out.close_writing();
  std::thread recorder([&] {  // 60 s make 480 KB, which no pipe holds
    feed(pipe, raw(sine(60, 440)));
    pipe.close_writing();
  });
  std::size_t bytes = 0;
  std::array<char, 1000> piece{};
  while (true) {
    const ssize_t got = ::read(out.reading(), piece.data(), piece.size());
    if (got <= 0) break;
    bytes += static_cast<std::size_t>(got);
  }
  recorder.join();
  const auto result = process.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(bytes, (60 / 2 * 25 + 1) * 80 * sizeof(float));
}

TEST_F(ExtractStream, WhatCannotBeSoundIsNamed) {
  const auto expect_failure = [](const ProcessResult& result, const std::string& text, std::size_t lines) {
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
    EXPECT_EQ(json_lines(result.out).size(), lines);
  };
  expect_failure(stream(""), "no samples", 0);
  expect_failure(stream(raw(sine(2.5, 440)) + "x"), "ends within a sample", 2);
  std::vector<float> samples(40'000, 0.1F);
  samples[35'000] = NAN;
  expect_failure(stream(raw(samples), {"--input", "f32le"}), "sample 35000", 2);
}

TEST_F(ExtractStream, OptionsThatMeanNothingAreRefused) {
  const auto expect_usage = [&](const std::vector<std::string>& arguments, const std::string& text) {
    const auto result = run(command(arguments));
    EXPECT_EQ(result.exit_code, 2) << text << ": " << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
  };
  expect_usage({"--stream", "some.wav"}, "inputs");
  expect_usage({"--stream", "--output", "out"}, "--output");
  expect_usage({"--stream", "--format", "csv"}, "--format");
  expect_usage({"--stream", "--batch-seconds", "4"}, "--batch-seconds");
  expect_usage({"--stream", "--no-per-file"}, "--no-per-file");
  expect_usage({"--stream", "--rate", "0"}, "--rate");
  expect_usage({"--stream", "--channels", "0"}, "--channels");
  expect_usage({"--stream", "--statistics", "1,0"}, "--statistics");
  expect_usage({"--stream", "--statistics", "1"}, "--statistics");
  expect_usage({"--rate", "16000", "--output", "out", "some.wav"}, "--rate is for --stream");
  expect_usage({"some.wav"}, "--output");
  const auto naive = run({"extract", "--stream", "--model", "naive"});
  EXPECT_EQ(naive.exit_code, 2);
  EXPECT_NE(naive.err.find("HEAR-naive"), std::string::npos) << naive.err;
}

}  // namespace
}  // namespace axlstm::test
