#include "axlstm/audio/clip_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "axlstm/audio/resample.h"
#include "core/wav.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::audio {
namespace {

namespace fs = std::filesystem;

const fs::path kAudio = fs::path(AXLSTM_TEST_DATA) / "data" / "audio";
const fs::path kFormats = fs::path(AXLSTM_TEST_DATA) / "data" / "formats";

std::vector<float> read_all(const Recording& recording, int rate) {
  ClipReader clip(recording, rate);
  std::vector<float> all;
  for (auto samples = clip.read(); !samples.empty(); samples = clip.read())
    all.insert(all.end(), samples.begin(), samples.end());
  return all;
}

double difference(std::span<const float> a, std::span<const float> b) {
  double most = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t n = 0; n < std::min(a.size(), b.size()); ++n)
    most = std::max(most, std::abs(static_cast<double>(a[n]) - static_cast<double>(b[n])));
  return most;
}

/// Long enough for several blocks; two channels that differ.
std::string long_stereo(int rate) {
  const auto left = test::sine(61.0, 440, rate), right = test::sine(61.0, 555, rate);
  std::vector<std::int16_t> both;
  for (std::size_t n = 0; n < left.size(); ++n) both.insert(both.end(), {left[n], right[n]});
  return test::wav_bytes(both, {.sample_rate = static_cast<std::uint32_t>(rate), .channels = 2});
}

class ClipReaderFormat : public testing::TestWithParam<fs::path> {};

TEST_P(ClipReaderFormat, BlocksAndPartsAreThoseOfTheWhole) {
  for (const Segment segment : {Segment{}, Segment{0.25, 1.5}}) {
    const Recording recording{.path = GetParam(), .segment = segment};
    const Waveform decoded = decode(recording);
    for (const int rate : {decoded.sample_rate, 16000, 44100}) {
      const auto whole = resample(decoded, rate).samples;
      EXPECT_LE(difference(read_all(recording, rate), whole), 1e-6) << rate;
      const auto size = static_cast<std::int64_t>(whole.size());
      for (const auto& [first, count] : {std::pair(std::int64_t{0}, std::int64_t{1000}), std::pair(size / 2, size / 4),
                                         std::pair(size - 500, std::int64_t{900})}) {
        const auto part = read_part(recording, decoded.sample_rate, rate, first, count);
        const auto wanted = std::span(whole).subspan(static_cast<std::size_t>(first),
                                                     static_cast<std::size_t>(std::min(count, size - first)));
        EXPECT_LE(difference(part, wanted), 2e-6) << first << " at " << rate;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ClipReaderFormat,
                         testing::Values(kAudio / "music/drums/drum_roll.opus", kFormats / "vorbis.ogg",
                                         kAudio / "music/loops/loop_garzul.mp3",
                                         kAudio / "music/percussion/perc_till.flac",
                                         kAudio / "music/electronic/elec_chime.wav", kFormats / "mp3_gapless_24k.mp3",
                                         kFormats / "flac.flac"));

TEST(ClipReader, ManyBlocksOfSeveralChannelsAtAnyRate) {
  for (const int rate : {8000, 16000, 22050, 48000}) {
    const std::string bytes = long_stereo(rate);
    const Recording recording{.path = "x.wav", .bytes = bytes};
    const auto whole = resample(decode(recording), 16000).samples;
    EXPECT_LE(difference(read_all(recording, 16000), whole), 1e-6) << rate;
    const auto part = read_part(recording, rate, 16000, 700'000, 32'000);
    EXPECT_LE(difference(part, std::span(whole).subspan(700'000, 32'000)), 1e-6) << rate;
  }
}

TEST(ClipReader, OneSampleIsGivenAtAnyRate) {
  const std::string bytes = test::wav_bytes(std::vector<std::int16_t>{1000}, {.sample_rate = 48000});
  const Recording recording{.path = "x.wav", .bytes = bytes};
  EXPECT_EQ(read_all(recording, 16000).size(), resample(decode(recording), 16000).samples.size());
}

TEST(ClipReader, DamageIsNamedWhereItIs) {
  std::vector<float> samples(1'000'000, 0.25F);
  samples[800'000] = std::numeric_limits<float>::quiet_NaN();
  const std::string bytes = test::wav_bytes(samples);
  test::expect_error([&] { read_all({.path = "nan.wav", .bytes = bytes}, 16000); },
                     {"nan.wav", "not finite", "at 50 s"});
  const std::string cut = test::wav_bytes(test::sine(60, 440), {.claimed_data_bytes = 40'000'000});
  test::expect_error([&] { read_all({.path = "cut.wav", .bytes = cut}, 16000); }, {"cut.wav", "truncated", "4.8 %"});
  ClipReader taken({.path = "cut.wav", .bytes = cut, .decoding = {0.01}}, 16000);
  while (!taken.read().empty()) continue;
  EXPECT_NE(taken.note().find("4.8 %"), std::string::npos) << taken.note();
}

TEST(DecodeUnlessLong, OnlyWhatLastsLongerIsLeft) {
  const std::string wav = test::wav_bytes(test::sine(2.0, 440));
  EXPECT_EQ(decode_unless_long({.path = "x", .bytes = wav}, 2.0)->samples.size(), 32'000U);
  EXPECT_FALSE(decode_unless_long({.path = "x", .bytes = wav}, 1.9));
  EXPECT_TRUE(decode_unless_long({.path = "x", .bytes = wav, .segment = {0.5, 1.0}}, 1.9));
  const Recording mp3{.path = kFormats / "mp3_vbr_no_length.mp3"};  // known when it is decoded
  const double seconds = decode(mp3).seconds();
  EXPECT_TRUE(decode_unless_long(mp3, seconds));
  EXPECT_FALSE(decode_unless_long(mp3, seconds - 0.1));
}

}  // namespace
}  // namespace axlstm::audio
