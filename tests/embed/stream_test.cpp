#include "axlstm/embed/stream.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <nlohmann/json.hpp>

#include "axlstm/embed/stream_output.h"
#include "support/expect_error.h"

namespace axlstm::embed {
namespace {

Embedder small_embedder(Padding padding = Padding::kZero, bool flip = false) {
  model::EncoderOptions options;
  options.flip = flip;
  options.size = model::Size::kCustom;
  options.dim = 16;
  options.depth = 2;
  options.expansion = 2;
  options.patch_frames = 8;
  torch::manual_seed(1);
  return {model::Encoder(model::resolve(options)), features::LogMelOptions{}, EmbeddingOptions{.padding = padding},
          runtime::Arithmetic(runtime::Precision::kFp32, torch::kCPU)};
}

/// Noise that grows and fades, so that chunks have statistics of their own.
torch::Tensor noise(std::int64_t samples) {
  torch::manual_seed(2);
  return torch::randn({samples}) * (torch::sin(torch::arange(samples) * 1e-4) * 0.2 + 0.25);
}

std::vector<StreamEmbedding> streamed(Embedder& embedder, const torch::Tensor& waveform, EmbeddingKind kind,
                                      const std::optional<features::ClipStatistics>& statistics,
                                      std::size_t piece = 4096, StreamState state = StreamState::kReset) {
  std::vector<StreamEmbedding> all;
  const auto take = [&](const StreamEmbedding& one) { all.push_back(one); };
  EmbeddingStream stream(embedder, kind, statistics, take, /*together=*/1, state);
  const std::span samples(waveform.data_ptr<float>(), static_cast<std::size_t>(waveform.numel()));
  for (std::size_t at = 0; at < samples.size(); at += piece)
    stream.push(samples.subspan(at, std::min(piece, samples.size() - at)));
  stream.finish();
  return all;
}

features::ClipStatistics statistics_of(const Embedder& embedder, const torch::Tensor& waveform) {
  return features::clip_statistics(embedder.log_mel()(waveform), embedder.log_mel().options().clip_std);
}

double difference(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(EmbeddingStream, WithTheStatisticsOfTheClipItsChunksAreThoseOfTheClip) {
  for (const auto padding : {Padding::kZero, Padding::kReflect}) {
    Embedder embedder = small_embedder(padding);
    for (const std::int64_t samples : {1, 100, 201, 1600, 31'839, 31'840, 31'999, 32'000, 32'160, 64'000, 70'001}) {
      const auto waveform = noise(samples);
      const auto whole = embedder.embed({waveform}, EmbeddingKind::kTimestamp).front();
      const auto statistics = statistics_of(embedder, waveform);
      for (const std::size_t piece : {777, 100'000}) {
        const auto steps = streamed(embedder, waveform, EmbeddingKind::kTimestamp, statistics, piece);
        ASSERT_EQ(static_cast<std::int64_t>(steps.size()), whole.timestamps.size(0)) << samples;
        for (std::size_t n = 0; n < steps.size(); ++n) {
          ASSERT_LE(difference(steps[n].embedding, whole.timestamps[static_cast<std::int64_t>(n)]), 1e-5)
              << "step " << n << " of " << samples << " samples in pieces of " << piece;
        }
      }
      const auto chunks = streamed(embedder, waveform, EmbeddingKind::kScene, statistics);
      const auto parts = whole.timestamps.split(25);  // steps of a chunk
      ASSERT_EQ(chunks.size(), parts.size()) << samples;
      for (std::size_t n = 0; n < parts.size(); ++n)
        ASSERT_LE(difference(chunks[n].embedding, parts[n].mean(0)), 1e-5) << "chunk " << n << " of " << samples;
    }
  }
}

TEST(EmbeddingStream, PaddingIsSeenInTheStepsOfTheLastChunk) {
  Embedder zeros = small_embedder(), mirrored = small_embedder(Padding::kReflect);
  const auto waveform = noise(48'000);  // 301 frames: 25 steps and 13
  const auto a = streamed(zeros, waveform, EmbeddingKind::kTimestamp, {}),
             b = streamed(mirrored, waveform, EmbeddingKind::kTimestamp, {});
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(difference(a[24].embedding, b[24].embedding), 0);
  EXPECT_GT(difference(a.back().embedding, b.back().embedding), 1e-3);
}

TEST(EmbeddingStream, TheStatisticsSoFarEndAsThoseOfTheClip) {
  Embedder embedder = small_embedder();
  const auto waveform = noise(120'000);
  const auto statistics = statistics_of(embedder, waveform);
  const auto running = streamed(embedder, waveform, EmbeddingKind::kScene, {});
  const auto fixed = streamed(embedder, waveform, EmbeddingKind::kScene, statistics);
  ASSERT_EQ(running.size(), 4U);
  EXPECT_GT(difference(running.front().embedding, fixed.front().embedding), 1e-3);
  EXPECT_LE(difference(running.back().embedding, fixed.back().embedding), 1e-5);

  EmbeddingStream stream(embedder, EmbeddingKind::kScene, {}, [](const StreamEmbedding&) {});
  stream.push({waveform.data_ptr<float>(), 120'000});
  stream.finish();
  EXPECT_NEAR(stream.statistics().mean, statistics.mean, 1e-5);
  EXPECT_NEAR(stream.statistics().std, statistics.std, 1e-5);
  EXPECT_EQ(stream.frames(), 751);
}

TEST(EmbeddingStream, WithACarriedStateAChunkSeesAllSoundBeforeIt) {
  Embedder embedder = small_embedder();
  const features::ClipStatistics fixed{-7, 4};
  const auto embed = [&](const torch::Tensor& waveform, StreamState state) {
    return streamed(embedder, waveform, EmbeddingKind::kTimestamp, fixed, 4096, state);
  };
  const auto sound = noise(150'000);
  auto other = sound.clone();
  other.slice(0, 0, 30'000) *= 3;  // of the first chunk alone
  const auto carried = embed(sound, StreamState::kCarry), changed = embed(other, StreamState::kCarry);
  const auto reset = embed(sound, StreamState::kReset);
  ASSERT_EQ(carried.size(), reset.size());
  for (std::size_t n = 0; n < reset.size(); ++n) {
    const double to_reset = difference(carried[n].embedding, reset[n].embedding);
    EXPECT_EQ(carried[n].start_ms, reset[n].start_ms);
    if (n < 25) {
      EXPECT_LE(to_reset, 1e-5) << "nothing is before the first chunk: " << n;
    } else {
      EXPECT_GT(to_reset, 1e-5) << n;
    }
  }
  EXPECT_GT(difference(carried[26].embedding, changed[26].embedding), 1e-5);
  Embedder backwards = small_embedder(Padding::kZero, /*flip=*/true);
  test::expect_usage_error([&] { streamed(backwards, sound, EmbeddingKind::kScene, fixed, 4096, StreamState::kCarry); },
                           {"--state carry", "model.flip=false"});
}

TEST(EmbeddingStream, TimesGoFromTheFirstSampleToTheLast) {
  Embedder embedder = small_embedder();
  const auto times = [&](std::int64_t samples, EmbeddingKind kind) {
    std::vector<std::pair<double, double>> pairs;
    for (const auto& one : streamed(embedder, noise(samples), kind, {})) pairs.emplace_back(one.start_ms, one.end_ms);
    return pairs;
  };
  using Times = std::vector<std::pair<double, double>>;
  EXPECT_EQ(times(72'000, EmbeddingKind::kScene), (Times{{0, 2000}, {2000, 4000}, {4000, 4500}}));
  // A frame is centred on the end: with a whole number of chunks it begins one more.
  EXPECT_EQ(times(32'000, EmbeddingKind::kScene), (Times{{0, 2000}, {2000, 2000}}));
  EXPECT_EQ(times(1, EmbeddingKind::kScene), (Times{{0, 0.0625}}));
  EXPECT_EQ(times(3000, EmbeddingKind::kTimestamp), (Times{{0, 80}, {80, 160}, {160, 187.5}}));
}

TEST(EmbeddingStream, AChunkComesWithItsLastSample) {
  Embedder embedder = small_embedder();
  int count = 0;
  EmbeddingStream stream(embedder, EmbeddingKind::kScene, {}, [&](const StreamEmbedding&) { ++count; });
  const auto waveform = noise(32'040);
  const std::span samples(waveform.data_ptr<float>(), 32'040);
  stream.push(samples.first(32'039));  // frame 199 is centred on sample 31,840 and ends 200 behind that
  EXPECT_EQ(count, 0);
  stream.push(samples.last(1));
  EXPECT_EQ(count, 1);
}

TEST(Embedder, ScenesAreTheMeansOfTimeStepsInAnyCompanyAndByTwoThreads) {
  Embedder embedder = small_embedder();
  std::vector<torch::Tensor> waveforms;
  for (const std::int64_t samples : {1, 5000, 32'000, 70'001, 100'000}) waveforms.push_back(noise(samples));
  const auto steps = embedder.embed(waveforms, EmbeddingKind::kTimestamp);
  const auto embed = [&] { return embedder.embed(waveforms, EmbeddingKind::kScene); };
  auto other = std::async(std::launch::async, embed);
  const auto scenes = embed(), others = other.get();
  for (std::size_t n = 0; n < waveforms.size(); ++n) {
    EXPECT_LE(difference(scenes[n].scene, steps[n].timestamps.mean(0)), 1e-6) << n;
    EXPECT_TRUE(scenes[n].scene.equal(others[n].scene)) << n;
    const auto alone = embedder.embed({waveforms[n]}, EmbeddingKind::kScene).front();
    EXPECT_LE(difference(scenes[n].scene, alone.scene), 1e-5) << n;
    EXPECT_FALSE(scenes[n].timestamps.defined());
    EXPECT_TRUE(scenes[n].timestamps_ms.empty());
    EXPECT_FALSE(steps[n].scene.defined());
  }
}

TEST(EmbeddingStream, WithoutASampleThereAreNoEmbeddings) {
  Embedder embedder = small_embedder();
  EXPECT_TRUE(streamed(embedder, torch::empty({0}), EmbeddingKind::kScene, {}).empty());
}

TEST(EmbeddingStream, EmbeddingsThatAreNotFiniteAreNamed) {
  Embedder embedder = small_embedder();
  test::expect_error([&] { streamed(embedder, torch::full({40'000}, 1e30F), EmbeddingKind::kScene, {}); },
                     {"from 0 ms on", "NaN"});
}

TEST(StreamOutput, JsonLinesGiveTheSameNumbersBack) {
  const StreamEmbedding one{100'000, 102'000.0625, torch::tensor({0.1F, -1e-30F, 3.0F, 16'777'216.0F})};
  const std::string line = formatted(one, StreamFormat::kJsonl);
  EXPECT_EQ(line, "{\"start_ms\":100000,\"end_ms\":102000.0625,\"embedding\":[0.1,-1e-30,3,16777216]}\n");
  const auto parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["embedding"].get<std::vector<float>>(), (std::vector<float>{0.1F, -1e-30F, 3.0F, 16'777'216.0F}));
}

TEST(StreamOutput, RowsAreTheBytesOfTheValues) {
  const std::vector<float> row{0.5F, -2.0F};
  const std::string bytes = formatted({0, 40, torch::tensor(row)}, StreamFormat::kF32);
  EXPECT_EQ(bytes, std::string(reinterpret_cast<const char*>(row.data()), 8));
}

}  // namespace
}  // namespace axlstm::embed
