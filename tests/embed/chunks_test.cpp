#include "axlstm/embed/chunks.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/expect_error.h"

namespace axlstm::embed {
namespace {

constexpr std::int64_t kFrames = 200;

std::vector<torch::Tensor> clips(const std::vector<std::int64_t>& lengths) {
  std::vector<torch::Tensor> waveforms;
  torch::manual_seed(5);
  for (const std::int64_t length : lengths) waveforms.push_back(0.1 * torch::randn({length}) + 0.01);
  return waveforms;
}

Chunks of(const std::vector<torch::Tensor>& waveforms, Batching batching,
          features::ClipStd clip_std = features::ClipStd::kUnbiased, Padding padding = Padding::kZero) {
  features::LogMelOptions options;
  options.clip_std = clip_std;
  return chunks_of(waveforms, features::LogMel(options), kFrames, torch::kCPU, batching, padding);
}

TEST(Chunks, TogetherAreThoseOfClipsOneByOne) {
  // Shorter than a window's half, one hop, whole chunks, one frame more, and longer than the operators' pieces.
  const auto waveforms = clips({1, 57, 160, 199, 200, 201, 31840, 31999, 32000, 48'000, 170'000, 2'700'000});
  for (const auto clip_std : {features::ClipStd::kUnbiased, features::ClipStd::kBiased}) {
    const auto one = of(waveforms, Batching::kOneByOne, clip_std),
               together = of(waveforms, Batching::kTogether, clip_std);
    EXPECT_EQ(together.counts, one.counts);
    EXPECT_EQ(together.padded_frames, one.padded_frames);
    ASSERT_EQ(together.input.sizes(), one.input.sizes());
    EXPECT_LT((together.input - one.input).abs().max().item<double>(), 2e-4);
  }
}

TEST(Chunks, ACompanyChangesNothing) {
  const auto waveforms = clips({40'000, 7'000, 90'000});
  const auto all = of(waveforms, Batching::kTogether);
  const auto last = of({waveforms.back()}, Batching::kTogether);
  EXPECT_TRUE(all.input.narrow(0, all.input.size(0) - last.input.size(0), last.input.size(0)).equal(last.input));
}

TEST(Chunks, PaddingIsZeros) {
  const auto chunks = of(clips({40'000}), Batching::kTogether);  // 251 frames
  ASSERT_EQ(chunks.counts, std::vector<std::int64_t>{2});
  ASSERT_EQ(chunks.padded_frames, std::vector<std::int64_t>{149});
  EXPECT_EQ(chunks.input[1][0].narrow(0, 51, 149).abs().max().item<float>(), 0);
  EXPECT_GT(chunks.input[1][0].narrow(0, 0, 51).abs().min().item<float>(), 0);
}

/// Log-mel whose every value is the number of its frame.
torch::Tensor numbered(std::int64_t frames) {
  return torch::arange(frames).to(torch::kFloat32).view({-1, 1}).repeat({1, 80});
}

std::vector<std::int64_t> numbers(const torch::Tensor& chunks) {
  EXPECT_TRUE(chunks.eq(chunks.narrow(-1, 0, 1)).all().item<bool>());
  const auto frames = chunks.select(-1, 0).flatten().to(torch::kInt64);
  return {frames.const_data_ptr<std::int64_t>(), frames.const_data_ptr<std::int64_t>() + frames.numel()};
}

TEST(Chunks, PaddingMirrorsTheClipAsOftenAsNeeded) {
  std::vector<std::int64_t> of_51, of_374;
  const auto run = [](std::vector<std::int64_t>& list, std::int64_t first, std::int64_t last) {  // up or down
    for (auto n = first; n != last; n += first < last ? 1 : -1) list.push_back(n);
    list.push_back(last);
  };
  for (const auto& [first, last] : {std::pair{0, 50}, {49, 0}, {1, 50}, {49, 1}}) run(of_51, first, last);
  for (const auto& [first, last] : {std::pair{0, 373}, {372, 347}}) run(of_374, first, last);
  const auto chunks = chunks_of_log_mel({numbered(374), numbered(1), numbered(51), numbered(400)}, 80, kFrames,
                                        torch::kCPU, Padding::kReflect);
  EXPECT_EQ(chunks.counts, (std::vector<std::int64_t>{2, 1, 1, 2}));
  EXPECT_EQ(chunks.padded_frames, (std::vector<std::int64_t>{26, 199, 149, 0}));
  EXPECT_EQ(numbers(chunks.input.slice(0, 0, 2)), of_374);
  EXPECT_EQ(numbers(chunks.input.slice(0, 2, 3)), std::vector<std::int64_t>(200, 0));
  EXPECT_EQ(numbers(chunks.input.slice(0, 3, 4)), of_51);
  EXPECT_EQ(numbers(chunks.input.slice(0, 4, 6)).back(), 399);
}

TEST(Chunks, MirroredClipsTogetherAreThoseOneByOne) {
  const auto waveforms = clips({1, 8'000, 32'000, 59'700});  // 1, 51, 201, 374 frames
  const auto with = [&](Batching batching, Padding padding) {
    return of(waveforms, batching, features::ClipStd::kUnbiased, padding).input;
  };
  const auto one = with(Batching::kOneByOne, Padding::kReflect),
             together = with(Batching::kTogether, Padding::kReflect);
  ASSERT_EQ(together.sizes(), one.sizes());
  EXPECT_LT((together - one).abs().max().item<double>(), 2e-4);
  const auto zeros = with(Batching::kOneByOne, Padding::kZero);
  EXPECT_TRUE(one.narrow(0, 2, 1).equal(zeros.narrow(0, 2, 1)));  // the full chunk of the third clip
  EXPECT_TRUE(one[1][0].narrow(0, 51, 50).equal(one[1][0].narrow(0, 0, 50).flip(0)));
}

TEST(Chunks, OfLogMelAreThoseOfItsWaveforms) {
  const features::LogMel log_mel(features::LogMelOptions{});
  const auto waveforms = clips({1, 31'840, 32'000, 40'000});
  std::vector<torch::Tensor> log_mels;
  for (const auto& waveform : waveforms) {
    const auto x = log_mel(waveform);
    log_mels.push_back(features::normalize(x, features::clip_statistics(x, features::ClipStd::kUnbiased)));
  }
  for (const auto padding : {Padding::kZero, Padding::kReflect}) {
    const auto expected = of(waveforms, Batching::kOneByOne, features::ClipStd::kUnbiased, padding),
               chunks = chunks_of_log_mel(log_mels, 80, kFrames, torch::kCPU, padding);
    EXPECT_EQ(chunks.counts, expected.counts);
    EXPECT_EQ(chunks.padded_frames, expected.padded_frames);
    EXPECT_TRUE(chunks.input.equal(expected.input));
  }
  test::expect_error(
      [&] {
        chunks_of_log_mel({torch::zeros({7, 64})}, 80, kFrames, torch::kCPU);
      },
      {"[frames, 80]", "[7, 64]"});
}

TEST(Chunks, OtherShapesAreRefused) {
  for (const auto batching : {Batching::kOneByOne, Batching::kTogether}) {
    test::expect_error([&] { of({torch::zeros({2, 100})}, batching); }, {"[samples]", "[2, 100]"});
    test::expect_error([&] { of({torch::zeros({0})}, batching); }, {"[samples]"});
  }
}

}  // namespace
}  // namespace axlstm::embed
