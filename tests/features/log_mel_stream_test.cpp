#include "axlstm/features/log_mel_stream.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>

#include "axlstm/features/running_statistics.h"
#include "support/golden.h"

namespace axlstm::features {
namespace {

std::span<const float> values(const torch::Tensor& waveform) {
  return {waveform.data_ptr<float>(), static_cast<std::size_t>(waveform.numel())};
}

torch::Tensor streamed(const LogMel& log_mel, const torch::Tensor& waveform, std::size_t piece) {
  LogMelStream stream(log_mel, torch::kCPU);
  std::vector<torch::Tensor> frames;
  const auto samples = values(waveform);
  for (std::size_t at = 0; at < samples.size(); at += piece)
    frames.push_back(stream.push(samples.subspan(at, std::min(piece, samples.size() - at))));
  frames.push_back(stream.finish());
  EXPECT_EQ(stream.samples(), waveform.numel());
  return torch::cat(frames);
}

TEST(LogMelStream, EqualsTheLogMelOfTheWhole) {
  torch::manual_seed(0);
  const LogMel log_mel{LogMelOptions{}};
  for (const std::int64_t samples : {1, 2, 160, 200, 201, 202, 399, 400, 401, 1599, 1600, 1601, 16000}) {
    const auto waveform = torch::randn({samples});
    const auto whole = log_mel(waveform);
    for (const std::size_t piece : {1, 159, 160, 401, 100'000}) {
      if (piece == 1 && samples > 2000) continue;
      const auto joined = streamed(log_mel, waveform, piece);
      ASSERT_EQ(joined.sizes(), whole.sizes()) << samples << " samples in pieces of " << piece;
      EXPECT_LE(test::absolute_error(joined, whole), 1e-5) << samples << " samples in pieces of " << piece;
    }
  }
}

TEST(LogMelStream, TakesAnyWindowAndHop) {
  torch::manual_seed(0);
  for (const auto& [n_fft, window, hop] :
       {std::tuple{512, 400, 600}, {401, 401, 7}, {64, 32, 64}, {1024, 1024, 1024}}) {
    LogMelOptions options;
    std::tie(options.n_fft, options.window, options.hop) = std::tuple(n_fft, window, hop);
    options.mels = 8;
    const LogMel log_mel(options);
    for (const std::int64_t samples : {1, 500, 513, 4000}) {
      const auto waveform = torch::randn({samples});
      const auto whole = log_mel(waveform), joined = streamed(log_mel, waveform, 100);
      ASSERT_EQ(joined.sizes(), whole.sizes()) << n_fft << ", " << hop << ", " << samples;
      EXPECT_LE(test::absolute_error(joined, whole), 1e-4) << n_fft << ", " << hop << ", " << samples;
    }
  }
}

TEST(LogMelStream, AFrameComesWithItsLastSample) {
  const LogMel log_mel{LogMelOptions{}};
  LogMelStream stream(log_mel, torch::kCPU);
  const std::vector<float> samples(1000, 0.1F);
  EXPECT_EQ(stream.push(std::span(samples).first(200)).size(0), 0);
  EXPECT_EQ(stream.push(std::span(samples).first(1)).size(0), 1);    // what the beginning is reflected with
  EXPECT_EQ(stream.push(std::span(samples).first(158)).size(0), 0);  // 359 of the 360 that the second frame ends with
  EXPECT_EQ(stream.push(std::span(samples).first(1)).size(0), 1);
}

TEST(LogMelStream, WithoutASampleThereAreNoFrames) {
  const LogMel log_mel{LogMelOptions{}};
  LogMelStream stream(log_mel, torch::kCPU);
  EXPECT_EQ(stream.push({}).size(0), 0);
  EXPECT_EQ(stream.finish().size(0), 0);
}

TEST(RunningStatistics, EndAsThoseOfTheWhole) {
  torch::manual_seed(0);
  const auto log_mel = torch::randn({1003, 80}) * 3 - 7;
  for (const auto kind : {ClipStd::kBiased, ClipStd::kUnbiased}) {
    RunningStatistics running;
    for (const auto& piece : log_mel.split(10)) running.add(piece);
    const auto whole = clip_statistics(log_mel, kind);
    EXPECT_NEAR(running.so_far(kind).mean, whole.mean, 1e-10);
    EXPECT_NEAR(running.so_far(kind).std, whole.std, 1e-10);
  }
}

}  // namespace
}  // namespace axlstm::features
