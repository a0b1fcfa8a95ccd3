#include "axlstm/audio/resample_stream.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "axlstm/audio/resample.h"
#include "core/wav.h"

namespace axlstm::audio {
namespace {

TEST(ResampleStream, GivesTheSamplesOfTheWholeHoweverTheyComeIn) {
  for (const int from : {8000, 44100, 48000}) {
    Waveform wave{{}, from};
    for (const std::int16_t sample : test::sine(1.3, 700, from)) wave.samples.push_back(sample / 32768.0F);
    const auto whole = resample(wave, 16000).samples;
    for (const std::size_t piece : {1, 441, 100'000}) {
      ResampleStream stream(from, 16000);
      std::vector<float> joined;
      const auto take = [&](std::span<const float> samples) {
        joined.insert(joined.end(), samples.begin(), samples.end());
      };
      for (std::size_t at = 0; at < wave.samples.size(); at += piece)
        take(stream.push(std::span(wave.samples).subspan(at, std::min(piece, wave.samples.size() - at))));
      take(stream.finish());
      ASSERT_EQ(joined.size(), whole.size()) << from << ", " << piece;
      for (std::size_t n = 0; n < whole.size(); ++n) ASSERT_NEAR(joined[n], whole[n], 1e-6) << from << ", " << piece;
    }
  }
}

TEST(ResampleStream, NothingIsNoEnd) {
  ResampleStream stream(48000, 16000);
  EXPECT_TRUE(stream.push({}).empty());
  const std::vector<float> samples(48000, 0.25F);
  EXPECT_GT(stream.push(samples).size(), 10'000U);
}

}  // namespace
}  // namespace axlstm::audio
