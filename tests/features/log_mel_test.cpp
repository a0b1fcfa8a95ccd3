#include "axlstm/features/log_mel.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/golden.h"

namespace axlstm::features {
namespace {

class GoldenFrontEnd : public testing::TestWithParam<const char*> {};

TEST_P(GoldenFrontEnd, LogMel) {
  const auto golden = test::load_golden(GetParam());
  const LogMel log_mel{LogMelOptions{}};
  test::expect_golden(GetParam(), "filterbank (absolute)",
                      test::absolute_error(mel_filterbank({}).to(torch::kFloat64), golden["out.mel_filterbank"]), 1e-7);
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    const bool exact = dtype == torch::kFloat64;
    const auto features = log_mel(golden["in.waveform"].to(dtype));
    const auto normalised = normalize(features, clip_statistics(features, ClipStd::kUnbiased));
    const std::string suffix = exact ? " f64 (absolute)" : " f32 (absolute)";
    test::expect_golden(GetParam(), "log-mel" + suffix, test::absolute_error(features, golden["out.log_mel"]),
                        exact ? 1e-7 : 5e-4);
    test::expect_golden(GetParam(), "normalised" + suffix, test::absolute_error(normalised, golden["out.normalised"]),
                        exact ? 1e-7 : 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(FrontEnds, GoldenFrontEnd, testing::Values("frontend_short", "frontend_2s", "frontend_3s7"));

TEST(LogMel, TakesClipsOfAnyLength) {
  const LogMel log_mel{LogMelOptions{}};
  torch::manual_seed(0);
  for (const std::int64_t samples : {1, 2, 160, 200, 201, 399, 16000}) {
    const auto features = log_mel(torch::randn({samples}));
    EXPECT_EQ(features.sizes(), (std::vector<std::int64_t>{1 + samples / 160, 80})) << samples;
    const auto normalised = normalize(features, clip_statistics(features, ClipStd::kUnbiased));
    EXPECT_TRUE(normalised.isfinite().all().item<bool>()) << samples;
  }
}

TEST(LogMel, BatchEqualsSingleClips) {
  torch::manual_seed(0);
  const LogMel log_mel{LogMelOptions{}};
  const auto waveforms = torch::randn({3, 4000});
  const auto together = log_mel(waveforms);
  for (std::int64_t clip = 0; clip < 3; ++clip)
    EXPECT_LE(test::absolute_error(together[clip], log_mel(waveforms[clip])), 1e-4);
}

TEST(LogMel, LongClipsAreComputedInPiecesWithoutSeams) {
  torch::manual_seed(0);
  const LogMel log_mel{LogMelOptions{}};
  const auto waveform = torch::randn({160 * 60'100});
  const auto features = log_mel(waveform);
  ASSERT_EQ(features.size(0), 60'101);
  // Around the seam at frame 60,000, as part of a short clip; two frames at its ends see the reflection.
  const auto part = log_mel(waveform.narrow(0, 160 * 59'950, 160 * 100));
  EXPECT_LE(test::absolute_error(features.slice(0, 59'952, 60'048), part.slice(0, 2, 98)), 1e-4);
  // The end is reflected as that of a short clip.
  const auto end = log_mel(waveform.narrow(0, 160 * 60'000, 160 * 100));
  EXPECT_LE(test::absolute_error(features.slice(0, 60'002), end.slice(0, 2)), 1e-4);
  for (const auto kind : {ClipStd::kBiased, ClipStd::kUnbiased}) {
    const auto statistics = clip_statistics(features, kind);
    const auto [variance, mean] = torch::var_mean(features.to(torch::kFloat64), kind == ClipStd::kUnbiased);
    EXPECT_NEAR(statistics.mean, mean.item<double>(), 1e-12);
    EXPECT_NEAR(statistics.std, std::sqrt(variance.item<double>()), 1e-12);
  }
}

TEST(LogMel, SilenceIsFinite) {
  const auto features = LogMel{LogMelOptions{}}(torch::zeros({16000}));
  const auto normalised = normalize(features, clip_statistics(features, ClipStd::kUnbiased));
  EXPECT_TRUE(normalised.isfinite().all().item<bool>());
  EXPECT_LT(normalised.abs().max().item<double>(), 1.0);
}

TEST(LogMel, ToneLandsInItsMelBin) {
  const auto time = torch::arange(16000, torch::kFloat64) / 16000.0;
  for (const double hz : {200.0, 1000.0, 4000.0}) {
    const auto features = LogMel{LogMelOptions{}}(torch::sin(2 * M_PI * hz * time));
    const auto loudest = features.mean(0).argmax().item<std::int64_t>();
    const auto filter = mel_filterbank({}).select(1, loudest);  // [201], 40 Hz a bin
    const auto bin = static_cast<std::int64_t>(hz / 40.0);
    EXPECT_GT(filter.slice(0, bin - 1, bin + 2).max().item<float>(), 0.0F) << hz;
  }
}

}  // namespace
}  // namespace axlstm::features
