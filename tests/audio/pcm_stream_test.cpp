#include "axlstm/audio/pcm_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "axlstm/audio/decode.h"
#include "core/wav.h"
#include "support/expect_error.h"

namespace axlstm::audio {
namespace {

constexpr PcmFormat kDefault{SampleFormat::kS16le, 16000, 1};

/// Gives `bytes` in pieces of at most `piece`, as a pipe does.
PcmStream::ReadBytes in_pieces(std::string bytes, std::size_t piece = 1000) {
  return [bytes = std::move(bytes), piece, at = std::size_t{0}](char* target, std::size_t count) mutable {
    const std::size_t got = std::min({count, piece, bytes.size() - at});
    std::copy_n(bytes.data() + at, got, target);
    at += got;
    return got;
  };
}

template <typename Sample>
std::string raw(const std::vector<Sample>& samples) {
  return {reinterpret_cast<const char*>(samples.data()), samples.size() * sizeof(Sample)};
}

std::vector<float> all_of(PcmStream& stream) {
  std::vector<float> all;
  for (auto samples = stream.read(); !samples.empty(); samples = stream.read())
    all.insert(all.end(), samples.begin(), samples.end());
  return all;
}

std::vector<float> read_all(const std::string& bytes, const PcmArguments& given = {}, std::size_t piece = 1000) {
  PcmStream stream(in_pieces(bytes, piece), given, kDefault, "input");
  auto all = all_of(stream);
  stream.check_end();
  EXPECT_EQ(stream.note(), "");
  return all;
}

TEST(PcmStream, RawSamplesAreThoseOfAFileHoweverTheyComeIn) {
  const auto samples = test::sine(0.3, 440);
  const auto expected = decode_memory(test::wav_bytes(samples), "file").samples;
  for (const std::size_t piece : {1, 2, 3, 7, 1000, 100'000}) {
    EXPECT_EQ(read_all(raw(samples), {}, piece), expected) << piece;
    EXPECT_EQ(read_all(test::wav_bytes(samples), {}, piece), expected) << piece;
  }
}

TEST(PcmStream, ChannelsAreAveraged) {
  const std::vector<float> stereo{0.5F, -0.25F, 1.0F, 0.0F, -1.5F, 0.5F};
  const PcmArguments given{SampleFormat::kF32le, 48000, 2};
  EXPECT_EQ(read_all(raw(stereo), given, 5), (std::vector<float>{0.125F, 0.5F, -0.5F}));
  EXPECT_EQ(read_all(test::wav_bytes(stereo, {.sample_rate = 48000, .channels = 2}), {}, 5),
            (std::vector<float>{0.125F, 0.5F, -0.5F}));
}

TEST(PcmStream, SamplesAreGivenAsSoonAsTheyAreThere) {
  const auto samples = test::sine(0.01, 440);
  PcmStream stream(in_pieces(raw(samples), 12), {}, kDefault, "input");
  EXPECT_EQ(stream.read().size(), 6U);
  EXPECT_EQ(stream.frames(), 6);
}

TEST(PcmStream, AWavHeaderSaysFormatRateAndChannels) {
  const std::vector<float> samples(100, 0.5F);
  PcmStream stream(in_pieces(test::wav_bytes(samples, {.sample_rate = 44100, .channels = 2}), 3), {}, kDefault,
                   "input");
  EXPECT_TRUE(stream.is_wave());
  EXPECT_EQ(stream.format().samples, SampleFormat::kF32le);
  EXPECT_EQ(stream.format().sample_rate, 44100);
  EXPECT_EQ(stream.format().channels, 2);
  EXPECT_EQ(all_of(stream), std::vector<float>(50, 0.5F));
}

TEST(PcmStream, PlaceholdersForTheSizeMeanUpToTheEnd) {
  const auto samples = test::sine(0.1, 440);
  for (const std::uint32_t claimed : {0U, 0x7F000000U, 0x7FFFFFDCU, 0x80000000U, 0xFFFFFFFFU}) {
    const auto bytes = test::wav_bytes(samples, {.claimed_data_bytes = claimed});
    EXPECT_EQ(read_all(bytes).size(), samples.size()) << claimed;
  }
}

TEST(PcmStream, OfAWavWithALengthWhatFollowsIsLeftOut) {
  const auto samples = test::sine(0.1, 440);
  const auto bytes = test::wav_bytes(samples, {.trailer = std::string("LIST\x04\0\0\0abcd", 12)});
  EXPECT_EQ(read_all(bytes, {}, 50).size(), samples.size());
}

TEST(PcmStream, ChunksBeforeTheSamplesAreSkipped) {
  const auto samples = test::sine(0.1, 440);
  std::string bytes = test::wav_bytes(samples);
  bytes.insert(12, std::string("LIST\x05\0\0\0abcde\0", 14));  // padded to an even size
  EXPECT_EQ(read_all(bytes, {}, 7).size(), samples.size());
}

TEST(PcmStream, Rf64SaysItsLengthInAChunkOfItsOwn) {
  const auto samples = test::sine(0.1, 440);
  const auto rf64 = [&](std::uint64_t length) {
    std::string bytes = test::wav_bytes(samples, {.claimed_data_bytes = 0xFFFFFFFFU});
    bytes.replace(0, 4, "RF64");
    std::string sizes(28, '\0');
    for (std::size_t n = 0; n < 8; ++n) sizes[8 + n] = static_cast<char>(length >> (8 * n));
    bytes.insert(12, std::string("ds64\x1C\0\0\0", 8) + sizes);
    return bytes;
  };
  EXPECT_EQ(read_all(rf64(200)).size(), 100U);
  EXPECT_EQ(read_all(rf64(0)).size(), samples.size());
}

TEST(PcmStream, ALengthThatIsNotThereIsSaid) {
  const auto bytes = test::wav_bytes(std::vector<std::int16_t>(100), {.claimed_data_bytes = 1000});
  PcmStream stream(in_pieces(bytes), {}, kDefault, "input");
  EXPECT_EQ(all_of(stream).size(), 100U);
  EXPECT_NO_THROW(stream.check_end());
  EXPECT_NE(stream.note().find("promises 1000 bytes of samples, 200 came"), std::string::npos) << stream.note();
}

TEST(PcmStream, WhatTheHeaderContradictsIsRefused) {
  const auto bytes = test::wav_bytes(test::sine(0.1, 440));
  const auto open = [&](const PcmArguments& given) { PcmStream(in_pieces(bytes), given, kDefault, "input"); };
  EXPECT_NO_THROW(open({SampleFormat::kS16le, 16000, 1}));
  test::expect_usage_error([&] { open({SampleFormat::kF32le, {}, {}}); }, {"input", "--input f32le", "s16le"});
  test::expect_usage_error([&] { open({{}, 8000, {}}); }, {"--rate 8000", "16000 Hz"});
  test::expect_usage_error([&] { open({{}, {}, 2}); }, {"--channels 2", "says 1"});
}

TEST(PcmStream, HeadersThatCannotBeUsedAreRefused) {
  const auto expect_refused = [](const std::string& wav, std::initializer_list<std::string> texts) {
    test::expect_error([&] { PcmStream(in_pieces(wav), {}, kDefault, "input"); }, texts);
  };
  std::string bytes = test::wav_bytes(test::sine(0.1, 440));
  std::string other = bytes;
  other[34] = 24;  // bits
  expect_refused(other, {"input", "24 bits", "ffmpeg"});
  other = bytes;
  other[22] = 0;  // channels
  expect_refused(other, {"0 channels"});
  other = bytes;
  other.replace(24, 4, std::string(4, '\0'));  // rate
  expect_refused(other, {"at 0 Hz"});
  expect_refused(bytes.substr(0, 30), {"input", "fmt "});
  expect_refused(bytes.substr(0, 40), {"input", "ends before"});
  expect_refused(std::string(bytes).erase(12, 24), {"format"});
  expect_refused(bytes.substr(0, 12) + "junk\xFF\xFF\xFF\x7F", {"16 MiB"});
}

TEST(PcmStream, ARateOfZeroIsRefused) {
  test::expect_error([] { PcmStream(in_pieces("abcd"), {{}, 0, {}}, kDefault, "input"); }, {"input", "0 Hz"});
  test::expect_error([] { PcmStream(in_pieces("abcd"), {{}, {}, 0}, kDefault, "input"); }, {"0 channels"});
}

TEST(PcmStream, NothingAndHalfASampleAreRefusedAtTheEnd) {
  test::expect_error([] { read_all(""); }, {"input", "no samples"});
  test::expect_error([] { read_all("a"); }, {"input", "no samples", "1 bytes"});
  test::expect_error([] { read_all(test::wav_bytes(std::vector<float>{})); }, {"no samples"});
  PcmStream stream(in_pieces("abcde"), {}, kDefault, "input");
  EXPECT_EQ(all_of(stream).size(), 2U);
  test::expect_error([&] { stream.check_end(); }, {"input", "within a sample", "1 of 2 bytes", "sample 1"});
}

TEST(PcmStream, ASampleThatIsNotFiniteIsNamedAfterThoseBeforeIt) {
  std::vector<float> samples(2000, 0.5F);
  const PcmArguments given{SampleFormat::kF32le, 1000, 2};
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    samples[1501] = bad;
    PcmStream stream(in_pieces(raw(samples), 100'000), given, kDefault, "input");
    EXPECT_EQ(stream.read().size(), 750U);
    test::expect_error([&] { stream.read(); }, {"input", "sample 750 of channel 1", "0.75 s", "f32le"});
  }
}

TEST(PcmStream, ChannelsWhoseMeanIsNotFiniteAreRefused) {
  const std::vector<float> samples(4, std::numeric_limits<float>::max());
  test::expect_error([&] { read_all(raw(samples), {SampleFormat::kF32le, {}, 2}); }, {"input", "sample 0 ", "3.4"});
}

}  // namespace
}  // namespace axlstm::audio
