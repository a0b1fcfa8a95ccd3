#include "axlstm/audio/resample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>

#include "core/wav.h"

namespace axlstm::audio {
namespace {

Waveform sine_wave(double seconds, double hz, int sample_rate) {
  Waveform wave{{}, sample_rate};
  for (const std::int16_t sample : test::sine(seconds, hz, sample_rate)) wave.samples.push_back(sample / 32768.0F);
  return wave;
}

/// Amplitude of the component at `hz`, from the middle half of the samples.
double amplitude_at(const Waveform& wave, double hz) {
  std::complex<double> sum = 0;
  const std::size_t first = wave.samples.size() / 4, last = first + wave.samples.size() / 2;
  for (std::size_t n = first; n < last; ++n) {
    sum += static_cast<double>(wave.samples[n]) *
           std::polar(1.0, -2 * std::numbers::pi * hz * static_cast<double>(n) / wave.sample_rate);
  }
  return 2 * std::abs(sum) / static_cast<double>(last - first);
}

class ResampleRates : public testing::TestWithParam<int> {};

TEST_P(ResampleRates, ASineKeepsFrequencyAmplitudeAndDuration) {
  const auto out = resample(sine_wave(2.0, 1000, GetParam()), 16000);
  EXPECT_EQ(out.sample_rate, 16000);
  EXPECT_NEAR(static_cast<double>(out.samples.size()), 32000, 1);
  EXPECT_NEAR(amplitude_at(out, 1000), 0.5, 1e-3);
  EXPECT_LT(amplitude_at(out, 1100), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Rates, ResampleRates, testing::Values(8000, 22050, 44100, 48000, 96000));

TEST(Resample, WhatTheLowerRateCannotHoldIsRemoved) {
  const auto out = resample(sine_wave(1.0, 12000, 48000), 16000);
  EXPECT_LT(amplitude_at(out, 4000), 1e-4);  // where it would alias to
}

TEST(Resample, TheSameRateIsTheIdentity) {
  const auto wave = sine_wave(0.1, 440, 16000);
  EXPECT_EQ(resample(wave, 16000).samples, wave.samples);
}

TEST(Resample, TheLengthIsTheRatioForClipsOfAnyLength) {
  for (const std::size_t samples : {1, 2, 3, 5, 100, 4801, 48000}) {
    for (const int from : {8000, 44100, 48000, 96000}) {
      const auto out = resample({std::vector<float>(samples, 0.25F), from}, 16000);
      EXPECT_GE(out.samples.size(), 1u);
      EXPECT_NEAR(static_cast<double>(out.samples.size()), static_cast<double>(samples) * 16000 / from, 1.0)
          << samples << " at " << from;
      EXPECT_TRUE(std::all_of(out.samples.begin(), out.samples.end(), [](float x) { return std::isfinite(x); }));
    }
  }
  for (const int from : {22050, 44100, 48000}) {
    const std::vector<float> ten_seconds(static_cast<std::size_t>(10 * from), 0.25F);
    EXPECT_EQ(resample({ten_seconds, from}, 16000).samples.size(), 160'000U) << from;
  }
}

}  // namespace
}  // namespace axlstm::audio
