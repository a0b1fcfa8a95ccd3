#include "axlstm/audio/decode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "axlstm/core/files.h"
#include "core/wav.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::audio {
namespace {

namespace fs = std::filesystem;

const fs::path kAudio = fs::path(AXLSTM_TEST_DATA) / "data" / "audio";
const fs::path kFlac = kAudio / "music/percussion/perc_till.flac";
const fs::path kOpus = kAudio / "music/drums/drum_roll.opus";

/// The FLAC with the number of samples in its STREAMINFO replaced: 36 bits that end at byte 26 of the file.
std::string flac_claiming(bool many) {
  std::string flac = read_file(kFlac);
  flac[21] = static_cast<char>(many ? flac[21] | 0x0F : flac[21] & 0xF0);
  flac.replace(22, 4, 4, many ? '\xff' : '\0');
  return flac;
}

void expect_rejected(const std::string& bytes, std::initializer_list<std::string> parts) {
  const test::TemporaryFolder folder;
  const auto path = folder.write("clip.wav", bytes);
  test::expect_error([&] { decode_file(path); }, {path.string()});
  test::expect_error([&] { decode_file(path); }, parts);
  if (!bytes.empty()) test::expect_error([&] { decode_memory(bytes, "the clip"); }, {"the clip"});
  test::expect_error([&] { decode_memory(bytes, "the clip"); }, parts);
}

struct File {
  const char* path;
  double seconds;
  int sample_rate;
};

class DecodeFormat : public testing::TestWithParam<File> {};

TEST_P(DecodeFormat, FileAndMemoryGiveTheSameSamples) {
  const auto path = kAudio / GetParam().path;
  const Waveform from_file = decode_file(path), from_memory = decode_memory(read_file(path), "memory");
  EXPECT_EQ(from_file.sample_rate, from_memory.sample_rate);
  EXPECT_EQ(from_file.samples, from_memory.samples);
  EXPECT_NEAR(from_file.seconds(), GetParam().seconds, 0.05);
  float loudest = 0;
  for (const float sample : from_file.samples) loudest = std::max(loudest, std::abs(sample));
  EXPECT_GT(loudest, 0.01F);
  EXPECT_LT(loudest, 1.5F);
}

TEST_P(DecodeFormat, ASegmentIsThatPartOfTheWhole) {
  const auto path = kAudio / GetParam().path;
  const Waveform whole = decode_file(path), part = decode_file(path, {0.5, 0.25});
  const auto first = static_cast<std::size_t>(std::lround(0.5 * whole.sample_rate));
  ASSERT_EQ(part.samples.size(), static_cast<std::size_t>(std::lround(0.25 * whole.sample_rate)));
  double error = 0, power = 0;
  for (std::size_t n = 0; n < part.samples.size(); ++n) {
    error += std::pow(part.samples[n] - whole.samples[first + n], 2);
    power += std::pow(whole.samples[first + n], 2);
  }
  EXPECT_LT(error, 1e-3 * power);  // MP3 and Opus decoders carry a state that a seek cannot restore to the bit
}

INSTANTIATE_TEST_SUITE_P(Formats, DecodeFormat,
                         testing::Values(File{"music/drums/drum_roll.opus", 6.242, 48000},
                                         File{"music/loops/loop_amen_full.ogg", 6.857, 44100},
                                         File{"music/loops/loop_garzul.mp3", 8.0, 44100},
                                         File{"music/percussion/perc_till.flac", 2.666, 16000},
                                         File{"music/electronic/elec_chime.wav", 2.278, 16000}));

TEST(Decode, ChannelsAreAveraged) {
  std::vector<std::int16_t> samples;
  for (int frame = 0; frame < 100; ++frame) {
    for (int channel = 0; channel < 8; ++channel) samples.push_back(static_cast<std::int16_t>(1024 * channel + frame));
  }
  const Waveform wave = decode_memory(test::wav_bytes(samples, {.channels = 8}), "eight");
  ASSERT_EQ(wave.samples.size(), 100u);
  for (std::size_t frame = 0; frame < 100; ++frame) {
    EXPECT_FLOAT_EQ(wave.samples[frame], static_cast<float>((1024 * 3.5 + static_cast<double>(frame)) / 32768));
  }
}

TEST(Decode, AClipOfATenthOfASecond) {
  const Waveform wave = decode_memory(test::wav_bytes(test::sine(0.1, 440)), "short");
  EXPECT_EQ(wave.samples.size(), 1600u);
  EXPECT_DOUBLE_EQ(wave.seconds(), 0.1);
}

TEST(Decode, FloatSamplesKeepTheirValues) {
  EXPECT_EQ(decode_memory(test::wav_bytes(std::vector<float>{0.25F, -1.5F, 0}), "float").samples,
            (std::vector<float>{0.25F, -1.5F, 0}));
}

TEST(Decode, SegmentsEndWithTheFile) {
  const std::string bytes = test::wav_bytes(test::sine(1.0, 440));
  EXPECT_EQ(decode_memory(bytes, "x", {0.75, -1}).samples.size(), 4000u);
  EXPECT_EQ(decode_memory(bytes, "x", {0.75, 10}).samples.size(), 4000u);
  EXPECT_EQ(decode_memory(bytes, "x", {0.75, 1e300}).samples.size(), 4000u);
  EXPECT_EQ(decode_memory(bytes, "x", {0, 0.5}).samples.size(), 8000u);
}

TEST(Decode, SegmentsBeyondTheFileNameItsLength) {
  const std::string bytes = test::wav_bytes(test::sine(1.0, 440));
  for (const double start : {1.0, 2.0, 1e300, -0.5}) {
    test::expect_error([&] { decode_memory(bytes, "x.wav", {start, 1}); }, {"x.wav", "starts at", "lasts 1 s"});
  }
  test::expect_error([&] { decode_memory(bytes, "x.wav", {0.5, 0}); }, {"x.wav", "empty"});
}

TEST(Decode, MissingFilesAndFoldersAreNamed) {
  const test::TemporaryFolder folder;
  test::expect_error([&] { decode_file(folder.path() / "none.wav"); },
                     {(folder.path() / "none.wav").string(), "no such file"});
  test::expect_error([&] { decode_file(folder.path()); }, {folder.path().string(), "is not a file"});
}

TEST(Decode, EmptyFilesAreRejected) { expect_rejected("", {"empty (0 bytes)"}); }

TEST(Decode, FilesWithoutAudioAreRejected) {
  expect_rejected(test::wav_bytes(std::vector<std::int16_t>{}), {"no audio"});
}

TEST(Decode, TextIsNoAudio) { expect_rejected("<html>404 not found</html>\n", {"not audio"}); }

TEST(Decode, SamplesThatAreNoNumbersAreRejected) {
  std::vector<float> samples(1000, 0.5F);
  samples[999] = std::numeric_limits<float>::quiet_NaN();
  expect_rejected(test::wav_bytes(samples), {"not finite"});
  expect_rejected(test::wav_bytes(std::vector<float>(10, std::numeric_limits<float>::infinity())), {"not finite"});
}

TEST(Decode, ATruncatedFlacIsRejected) {
  const std::string whole = read_file(kFlac);
  expect_rejected(whole.substr(0, whole.size() / 2), {"truncated"});
}

TEST(Decode, ATruncatedWavIsRejected) {
  for (const std::uint16_t channels : {1, 2}) {
    const std::string whole = test::wav_bytes(test::sine(1.0, 440), {.channels = channels});
    expect_rejected(whole.substr(0, whole.size() / 2), {"truncated"});
    expect_rejected(whole.substr(0, 44), {"truncated"});
  }
}

TEST(Decode, AWavOfAStreamLastsToTheEndOfTheFile) {
  for (const std::uint32_t unknown : {0xFFFFFFFFU, 0x7FFFF000U}) {
    const std::string bytes = test::wav_bytes(test::sine(1.0, 440), {.claimed_data_bytes = unknown});
    EXPECT_EQ(decode_memory(bytes, "stream").samples.size(), 16000u) << unknown;
  }
}

TEST(Decode, ChunksAroundTheDataAreNoDamage) {
  const std::string tag(
      "LIST\x04\x00\x00\x00"
      "INFO",
      12);
  EXPECT_EQ(decode_memory(test::wav_bytes(test::sine(1.0, 440), {.trailer = tag}), "tagged").samples.size(), 16000u);
  std::string before = test::wav_bytes(test::sine(1.0, 440));
  before.insert(12, tag);
  EXPECT_EQ(decode_memory(before, "tagged").samples.size(), 16000u);
}

TEST(Decode, AHeaderThatClaimsHoursTakesNoMemory) {
  expect_rejected(test::wav_bytes(test::sine(0.1, 440), {.claimed_data_bytes = 0xF0000000U}), {"truncated"});
  const Waveform wave = decode_memory(flac_claiming(/*many=*/true), "whole frames");
  EXPECT_EQ(wave.samples, decode_file(kFlac).samples);
  EXPECT_NE(wave.note, "");
}

TEST(Decode, AFlacOfUnknownLengthLastsToTheEndOfTheFile) {
  const test::TemporaryFolder folder;
  const Waveform whole = decode_file(kFlac);
  const std::string bytes = flac_claiming(/*many=*/false);
  EXPECT_EQ(decode_file(folder.write("stream.flac", bytes)).samples, whole.samples);
  EXPECT_EQ(decode_memory(bytes, "stream").samples, whole.samples);
  EXPECT_EQ(decode_memory(bytes, "stream", {0.5, 0.25}).samples, decode_file(kFlac, {0.5, 0.25}).samples);
  EXPECT_EQ(decode_memory(bytes, "stream", {0.5, -1}).samples, decode_file(kFlac, {0.5, -1}).samples);
  test::expect_error([&] { decode_memory(bytes, "stream", {60, 1}); }, {"stream"});
  test::expect_error([&] { decode_memory(bytes.substr(0, 100), "stream"); }, {"stream"});
}

/// A FLAC of `frames` frames, each of 65,535 equal samples in 14 bytes or so.
std::string flac_of_silence(int frames) {
  const auto checksum = [](const std::string& bytes, int width, unsigned polynomial) {
    unsigned value = 0;
    for (const char byte : bytes) {
      value ^= static_cast<unsigned>(static_cast<unsigned char>(byte)) << (width - 8);
      for (int bit = 0; bit < 8; ++bit) value = value << 1 ^ (value >> (width - 1) & 1 ? polynomial : 0);
      value &= (1U << width) - 1;
    }
    return value;
  };
  // STREAMINFO: block sizes, unknown frame sizes, 16 kHz mono of 16 bits, unknown length and MD5.
  std::string flac("fLaC\x80\0\0\x22\xff\xff\xff\xff\0\0\0\0\0\0\x03\xe8\0\xf0\0\0\0\0", 26);
  flac.append(16, '\0');
  for (int n = 0; n < frames; ++n) {
    std::string frame("\xff\xf8\x70\x08", 4);
    if (n < 0x80) {  // the number as UTF-8 would code it
      frame += static_cast<char>(n);
    } else {
      frame += {static_cast<char>(0xC0 | n >> 6), static_cast<char>(0x80 | (n & 0x3F))};
    }
    frame += "\xff\xfe";
    frame += static_cast<char>(checksum(frame, 8, 0x07));
    frame.append(3, '\0');  // one constant
    const unsigned sum = checksum(frame, 16, 0x8005);
    frame += {static_cast<char>(sum >> 8), static_cast<char>(sum)};
    flac += frame;
  }
  return flac;
}

TEST(Decode, AFileThatUnpacksWithoutBoundIsRefused) {
  EXPECT_EQ(decode_memory(flac_of_silence(3), "silence").samples, std::vector<float>(3 * 65535));
  expect_rejected(flac_of_silence(1100), {"more than 1000 samples a byte"});  // 72 million samples in 17 kilobytes
}

TEST(Decode, AnImpossibleSampleRateIsRejected) {
  expect_rejected(test::wav_bytes(test::sine(0.1, 440), {.sample_rate = 1}), {"1 Hz"});  // would grow 16000 times
}

TEST(Decode, DamagedBytesAreAnErrorOrSamplesButNeverACrash) {
  for (const fs::path& path : {kFlac, kOpus, kAudio / "music/electronic/elec_chime.wav"}) {
    std::string bytes = read_file(path).substr(0, 20000);
    int decoded = 0, rejected = 0;
    for (std::size_t at = 0; at < 200; at += 3) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x5A);
      try {
        decoded += !decode_memory(damaged, "damaged").samples.empty();
      } catch (const Error&) {
        ++rejected;
      }
    }
    EXPECT_EQ(decoded + rejected, 67) << path;
  }
}

TEST(Decoder, NamesItsVersion) { EXPECT_NE(decoder_version().find("libsndfile"), std::string::npos); }

}  // namespace
}  // namespace axlstm::audio
