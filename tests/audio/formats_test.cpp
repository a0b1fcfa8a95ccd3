// Containers and codecs that users have: how much is read of each, and that it is the sound that went in. The files are
// made by scripts/make_format_samples.py; each row here is a row of the table in docs/data.md.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "axlstm/audio/decode.h"
#include "axlstm/core/files.h"
#include "core/wav.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::audio {
namespace {

namespace fs = std::filesystem;

const fs::path kFormats = fs::path(AXLSTM_TEST_DATA) / "data" / "formats";
constexpr double kSeconds = 1.25;

std::string bytes_of(const char* name) { return read_file(kFormats / name); }

bool has_ffmpeg() { return decoder_version().find("no FFmpeg") == std::string::npos; }

/// The sweep in all of the files, `seconds` from its start.
double sweep(double seconds) {
  if (seconds < 0 || seconds >= kSeconds) return 0;
  const double phase = 2 * std::numbers::pi * (200 * seconds + 0.5 * 2800 / kSeconds * seconds * seconds);
  const double level = 0.3 + 0.2 * std::sin(2 * std::numbers::pi * 7 * seconds) + (seconds > 0.6 ? 0.2 : 0);
  return level * std::sin(phase);
}

/// Ratio of the sweep, begun `delay` frames late, to what differs from it, in dB, over `count` frames from `first` on.
double fidelity(const Waveform& wave, std::size_t first, std::size_t count, int delay) {
  double signal = 0, error = 0;
  for (std::size_t n = first; n < std::min(first + count, wave.samples.size()); ++n) {
    const double expected = sweep(static_cast<double>(static_cast<std::int64_t>(n - first) - delay) / wave.sample_rate);
    signal += expected * expected;
    error += std::pow(wave.samples[n] - expected, 2);
  }
  return 10 * std::log10(signal / std::max(error, 1e-12));
}

struct Format {
  const char* file;
  int sample_rate;
  std::size_t samples;
  int delay;        ///< frames that the encoder put in front and nothing tells of
  double fidelity;  ///< dB, at least
  bool by_ffmpeg = false;
};

void PrintTo(const Format& format, std::ostream* out) { *out << format.file; }

class FormatTest : public testing::TestWithParam<Format> {
 protected:
  void SetUp() override {
    if (GetParam().by_ffmpeg && !has_ffmpeg()) GTEST_SKIP() << "this build has no FFmpeg libraries";
  }
};

TEST_P(FormatTest, IsReadWholeAndInPlace) {
  const Format& format = GetParam();
  const Waveform wave = decode_file(kFormats / format.file);
  EXPECT_EQ(wave.sample_rate, format.sample_rate);
  EXPECT_EQ(wave.samples.size(), format.samples);
  EXPECT_EQ(wave.note, "");
  EXPECT_GE(fidelity(wave, 0, wave.samples.size(), format.delay), format.fidelity);
}

TEST_P(FormatTest, IsTheSameFromMemoryAndUnderAnyName) {
  const test::TemporaryFolder folder;
  const std::string bytes = bytes_of(GetParam().file);
  const Waveform wave = decode_file(kFormats / GetParam().file);
  EXPECT_EQ(decode_memory(bytes, "memory").samples, wave.samples);
  EXPECT_EQ(decode_file(folder.write("misnamed.flac", bytes)).samples, wave.samples);
}

TEST_P(FormatTest, SegmentsAreExactToTheSample) {
  const Format& format = GetParam();
  const Waveform whole = decode_file(kFormats / format.file);
  for (const double start : {0.05, 0.5, 1.0}) {
    const Waveform part = decode_file(kFormats / format.file, {start, 0.2});
    const auto first = static_cast<std::size_t>(std::llround(start * whole.sample_rate));
    ASSERT_EQ(part.samples.size(), static_cast<std::size_t>(std::llround(0.2 * whole.sample_rate)));
    EXPECT_EQ(part.note, "");
    double error = 0, power = 0;
    for (std::size_t n = 0; n < part.samples.size(); ++n) {
      error += std::pow(part.samples[n] - whole.samples[first + n], 2);
      power += std::pow(whole.samples[first + n], 2);
    }
    EXPECT_LE(error, 1e-3 * power) << start;  // Opus carries a state that libsndfile's seek cannot restore to the bit
  }
  const double length = whole.seconds();
  test::expect_error(
      [&] {
        decode_file(kFormats / format.file, {length + 1, 1});
      },
      {format.file, "starts at", "the file lasts"});
}

/// libsndfile's own seek is 64 frames off in the last page of this file.
TEST(VorbisFile, SegmentsOfItsLastPageAreExact) {
  const auto file = std::filesystem::path(AXLSTM_TEST_DATA) / "data/audio/music/loops/loop_amen_full.ogg";
  const Waveform whole = decode_file(file);
  for (const double before_end : {3.0, 0.6, 0.2, 0.05}) {
    const double start = whole.seconds() - before_end;
    const Waveform part = decode_file(file, {start, 0.05});
    const auto first = static_cast<std::size_t>(std::llround(start * whole.sample_rate));
    ASSERT_GT(part.samples.size(), 0U);
    for (std::size_t n = 0; n < part.samples.size(); ++n)
      ASSERT_NEAR(part.samples[n], whole.samples.at(first + n), 1e-6) << before_end;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, FormatTest,
    testing::Values(Format{"source.wav", 16000, 20000, 0, 80}, Format{"flac.flac", 16000, 20000, 0, 80},
                    Format{"mp3_vbr_no_length.mp3", 16000, 21312, 1105, 20},
                    Format{"mp3_cbr_no_length.mp3", 16000, 21312, 1105, 20},
                    Format{"mp3_gapless.mp3", 16000, 20000, 0, 20}, Format{"mp3_lame.mp3", 16000, 20000, 0, 20},
                    Format{"mp3_gapless_24k.mp3", 24000, 30000, 0, 20},
                    Format{"mp3_in_wav.wav", 16000, 21312, 1105, 20}, Format{"mp2.mp2", 16000, 20736, 481, 20},
                    Format{"mp2_in_wav.wav", 16000, 20736, 481, 20}, Format{"vorbis.ogg", 16000, 20000, 0, 15},
                    Format{"vorbis_24k.ogg", 24000, 30000, 0, 15}, Format{"opus.opus", 16000, 20000, 0, 15},
                    Format{"flac_in_ogg.oga", 16000, 20000, 0, 80, true}, Format{"aac.m4a", 16000, 20480, 0, 15, true},
                    Format{"aac.mp4", 16000, 20480, 0, 15, true}, Format{"aac.aac", 16000, 21504, 1024, 15, true},
                    Format{"alac.m4a", 16000, 20000, 0, 80, true}, Format{"alac.caf", 16000, 20000, 0, 80, true},
                    Format{"opus.webm", 48000, 60000, 0, 15, true}, Format{"vorbis.mka", 16000, 20224, 0, 15, true},
                    Format{"mp2.ts", 16000, 20736, 481, 20, true},
                    Format{"aac_fragmented.mp4", 16000, 21504, 1024, 15, true},
                    Format{"wma.wma", 16000, 19968, -512, 30, true}, Format{"ac3.ac3", 32000, 41472, 256, 15, true},
                    Format{"wavpack.wv", 16000, 20000, 0, 80, true}, Format{"tta.tta", 16000, 20000, 0, 80, true}));

/// Two files one behind the other are both there, each in its place.
void expect_both(const std::string& first, const std::string& second, std::size_t at, int delay, double fidelity_db) {
  const Waveform wave = decode_memory(first + second, "joined");
  EXPECT_EQ(wave.note, "");
  ASSERT_EQ(wave.samples.size(), 2 * at);
  EXPECT_GE(fidelity(wave, 0, at, delay), fidelity_db);
  EXPECT_GE(fidelity(wave, at, at, delay), fidelity_db);
}

TEST(JoinedFiles, OfMp3AreAllDecodedEachWithoutItsPadding) {
  const std::string gapless = bytes_of("mp3_gapless.mp3"), lame = bytes_of("mp3_lame.mp3");
  expect_both(gapless, gapless, 20000, 0, 20);
  expect_both(lame, gapless, 20000, 0, 20);
  const std::string id3v1 = "TAG" + std::string(125, 'x');
  expect_both(lame + id3v1, gapless, 20000, 0, 20);
  EXPECT_EQ(decode_memory(bytes_of("mp3_vbr_no_length.mp3") + gapless, "x").samples.size(), 41312U);
  EXPECT_EQ(decode_memory(gapless + bytes_of("mp3_vbr_no_length.mp3"), "x").samples.size(), 41312U);
}

TEST(JoinedFiles, OfMp3AtAnotherRateAreCountedAndLeftOut) {
  const std::string a = bytes_of("mp3_gapless.mp3"), b = bytes_of("mp3_gapless_24k.mp3");
  const Waveform wave = decode_memory(a + b + a, "joined");
  EXPECT_EQ(wave.samples.size(), 40000U);
  EXPECT_NE(wave.note.find("1 of 3 joined files are left out"), std::string::npos) << wave.note;
  EXPECT_NE(wave.note.find("16000 Hz"), std::string::npos) << wave.note;
}

TEST(JoinedFiles, ChainsOfOggAreAllDecoded) {
  const std::string vorbis = bytes_of("vorbis.ogg"), opus = bytes_of("opus.opus");
  expect_both(vorbis, vorbis, 20000, 0, 15);
  expect_both(opus, opus, 20000, 0, 15);
  expect_both(vorbis, opus, 20000, 0, 15);
  const Waveform mixed = decode_memory(vorbis + bytes_of("vorbis_24k.ogg") + opus, "mixed");
  EXPECT_EQ(mixed.samples.size(), 40000U);
  EXPECT_NE(mixed.note.find("1 of 3 joined streams are left out"), std::string::npos) << mixed.note;
  const Waveform part = decode_memory(vorbis + opus, "x", {1.2, 0.5});
  EXPECT_EQ(part.samples.size(), 8000U);
  EXPECT_GE(fidelity(part, 800, 7200, 0), 15);
}

TEST(CutFiles, Mp3WithATagIsMeasuredByIt) {
  const std::string whole = bytes_of("mp3_lame.mp3");
  test::expect_error([&] { decode_memory(whole.substr(0, whole.size() / 2), "half.mp3"); },
                     {"half.mp3", "truncated", "data.min_decoded_fraction"});
  // A frame may be the one that tells the number, counted too: two are a loss.
  std::size_t size = whole.size();
  Waveform most;
  while (most.note.empty() && size > whole.size() / 2) most = decode_memory(whole.substr(0, size -= 40), "most.mp3");
  EXPECT_NE(most.note.find("ends early"), std::string::npos) << most.note;
  EXPECT_GT(most.samples.size(), 18000U);
  EXPECT_GE(fidelity(most, 0, most.samples.size(), 0), 20);
  const Waveform half = decode_memory(whole.substr(0, whole.size() / 2), "half.mp3", {}, {.min_decoded_fraction = 0.3});
  EXPECT_GT(half.samples.size(), 8000U);
}

TEST(CutFiles, OggWithoutItsLastPageIsTakenAndSaid) {
  for (const char* name : {"vorbis.ogg", "opus.opus"}) {
    const std::string whole = bytes_of(name);
    const std::size_t last_page = whole.rfind("OggS");
    const Waveform wave = decode_memory(whole.substr(0, last_page), name);
    EXPECT_NE(wave.note.find("no page ends the stream"), std::string::npos) << wave.note;
    EXPECT_GT(wave.samples.size(), 4000U) << name;
    EXPECT_GE(fidelity(wave, 0, wave.samples.size() - 2000, 0), 10) << name;
  }
}

TEST(CutFiles, FlacThatEndsWholeIsTakenHoweverMuchItsHeaderPromises) {
  const Waveform copied = decode_file(kFormats / "flac_cut_by_copying.flac");
  EXPECT_EQ(copied.samples.size(), 10368U);
  EXPECT_NE(copied.note.find("51.8 %"), std::string::npos) << copied.note;
  EXPECT_GE(fidelity(copied, 0, copied.samples.size(), 0), 80);
  const std::string bytes = bytes_of("flac_cut_by_copying.flac");
  test::expect_error([&] { decode_memory(bytes.substr(0, bytes.size() - 7), "cut.flac"); }, {"cut.flac", "truncated"});
}

TEST(CutFiles, FlacThatEndsWithinAFrameIsTakenAboveTheShare) {
  const std::string whole = bytes_of("flac.flac");
  const Waveform most =
      decode_memory(whole.substr(0, whole.size() - 300), "most.flac", {}, {.min_decoded_fraction = 0.7});
  EXPECT_NE(most.note.find("ends early"), std::string::npos) << most.note;
  EXPECT_EQ(most.samples.size() % 2304, 0U);  // whole frames
  test::expect_error([&] { decode_memory(whole.substr(0, whole.size() * 6 / 10), "third.flac"); }, {"truncated"});
}

TEST(CutFiles, Mp4IsMeasuredByItsHeader) {
  if (!has_ffmpeg()) GTEST_SKIP() << "this build has no FFmpeg libraries";
  const std::string whole = bytes_of("aac.mp4");
  test::expect_error([&] { decode_memory(whole.substr(0, whole.size() / 2), "half.mp4"); }, {"half.mp4", "truncated"});
  EXPECT_NE(decode_memory(whole.substr(0, whole.size() - 300), "most.mp4").note.find("ends early"), std::string::npos);
}

/// The source's samples under a header of its own.
std::string wave_claiming(std::uint32_t bytes, std::string trailer = {}) {
  std::vector<std::int16_t> samples = test::sine(1.0, 440);
  return test::wav_bytes(samples, {.claimed_data_bytes = bytes, .trailer = std::move(trailer)});
}

TEST(WaveSizes, PlaceholdersOfPipesAndStoppedRecordersMeanTheEndOfTheFile) {
  for (const std::uint32_t size :
       {0U, 0x7FFFFFFFU, 0x7FFFFFD8U, 0x7FFFF000U, 0x80000000U, 0x80000024U, 0xFFFFFFFFU, 0xFFFFFFDBU, 0xFFFFFFFEU}) {
    const Waveform wave = decode_memory(wave_claiming(size), "pipe.wav");
    EXPECT_EQ(wave.samples.size(), 16000U) << size;
    EXPECT_EQ(wave.note, "") << size;
  }
}

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int n = 0; n < bytes; ++n) text += static_cast<char>(value >> (8 * n));
  return text;
}

/// A format chunk's content: 16-bit mono at 16 kHz.
std::string pcm_format() {
  return little_endian(1, 2) + little_endian(1, 2) + little_endian(16000, 4) + little_endian(32000, 4) +
         little_endian(2, 2) + little_endian(16, 2);
}

TEST(WaveSizes, PlaceholdersOfLargeContainersToo) {
  const std::string samples(8000, '\x10');
  const std::string rf64 = "RF64" + little_endian(0xFFFFFFFF, 4) + "WAVEds64" + little_endian(28, 4) +
                           std::string(28, '\0') + "fmt " + little_endian(16, 4) + pcm_format() + "data" +
                           little_endian(0xFFFFFFFF, 4) + samples;
  EXPECT_EQ(decode_memory(rf64, "pipe.rf64").samples.size(), 4000U);
  const std::string guid("\xF3\xAC\xD3\x11\x8C\xD1\0\xC0\x4F\x8E\xDB\x8A", 12);
  const auto w64 = [&](std::uint64_t riff, std::uint64_t data) {
    return std::string("riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\0\0", 16) + little_endian(riff, 8) + "wave" +
           guid + "fmt " + guid + little_endian(40, 8) + pcm_format() + "data" + guid + little_endian(data, 8) +
           samples;
  };
  const Waveform piped = decode_memory(w64(~std::uint64_t{0}, ~std::uint64_t{0} >> 1), "pipe.w64");
  EXPECT_EQ(piped.samples.size(), 4000U);
  EXPECT_EQ(piped.note, "");
  EXPECT_EQ(decode_memory(w64(8104, 8024), "whole.w64").samples, piped.samples);
}

TEST(WaveSizes, AHeaderCountedAmongTheSamplesIsNoLoss) {
  for (const std::uint32_t more : {1U, 2U, 36U, 44U, 64U}) {
    const Waveform wave = decode_memory(wave_claiming(32000 + more), "app.wav");
    EXPECT_EQ(wave.samples.size(), 16000U) << more;
    EXPECT_EQ(wave.note, "") << more;
  }
}

TEST(WaveSizes, WhatIsMissingIsMeasured) {
  const Waveform most = decode_memory(wave_claiming(34000), "most.wav");
  EXPECT_EQ(most.samples.size(), 16000U);
  EXPECT_NE(most.note.find("94.1 %"), std::string::npos) << most.note;
  test::expect_error([&] { decode_memory(wave_claiming(40000), "less.wav"); }, {"less.wav", "truncated", "80 %"});
  EXPECT_EQ(decode_memory(wave_claiming(40000), "x", {}, {.min_decoded_fraction = 0.5}).samples.size(), 16000U);
  // A segment that is there is whole, whatever is missing behind it.
  EXPECT_EQ(decode_memory(wave_claiming(40000), "x", {0.25, 0.5}).note, "");
}

TEST(WaveSizes, BytesBehindTheSamplesThatAreNoChunksAreSaid) {
  const Waveform wave = decode_memory(wave_claiming(8000), "stopped.wav");
  EXPECT_EQ(wave.samples.size(), 4000U);
  EXPECT_NE(wave.note.find("24000 bytes"), std::string::npos) << wave.note;
  EXPECT_EQ(decode_memory(wave_claiming(32000, "LIST" + std::string("\x04\0\0\0", 4) + "INFO"), "x").note, "");
}

TEST(WaveSizes, AnEmptyFileStaysEmpty) {
  const std::string empty =
      test::wav_bytes(std::vector<std::int16_t>{}, {.trailer = std::string("LIST\x04\0\0\0INFO", 12)});
  test::expect_error([&] { decode_memory(empty, "empty.wav"); }, {"empty.wav", "no audio"});
}

std::string big_endian(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

TEST(OtherSizes, AuAndAiffAreMeasuredToo) {
  const std::string samples(8000, '\x10');
  const auto au = [&](std::uint32_t size) {
    return ".snd" + big_endian(24) + big_endian(size) + big_endian(3) + big_endian(16000) + big_endian(1) + samples;
  };
  EXPECT_EQ(decode_memory(au(8000), "x.au").samples.size(), 4000U);
  EXPECT_EQ(decode_memory(au(0xFFFFFFFF), "x.au").note, "");
  EXPECT_NE(decode_memory(au(8800), "x.au").note, "");
  test::expect_error([&] { decode_memory(au(16000), "x.au"); }, {"x.au", "truncated", "50 %"});
  const auto aiff = [&](std::uint32_t size) {
    const std::string common = "COMM" + big_endian(18) + std::string("\0\1", 2) + big_endian(size / 2) +
                               std::string("\0\x10\x40\x0C\xFA\0\0\0\0\0\0\0", 12);
    const std::string body = "AIFF" + common + "SSND" + big_endian(size + 8) + std::string(8, '\0') + samples;
    return "FORM" + big_endian(static_cast<std::uint32_t>(body.size())) + body;
  };
  EXPECT_EQ(decode_memory(aiff(8000), "x.aiff").samples.size(), 4000U);
  EXPECT_EQ(decode_memory(aiff(0x7F000000), "sox.aiff").samples.size(), 4000U);
  EXPECT_NE(decode_memory(aiff(8800), "x.aiff").note, "");
  test::expect_error([&] { decode_memory(aiff(16000), "x.aiff"); }, {"x.aiff", "truncated"});
}

TEST(NoAudio, TheMessageSaysWhatTheFirstBytesAre) {
  const std::vector<std::pair<std::string, std::string>> files{
      {"<!DOCTYPE html><html><body>404 Not Found</body></html>", "a web page"},
      {"\n\n<html>\n<head>", "a web page"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"},
      {"/annex/objects/SHA256E-s1--0.wav\n", "git annex get"},
      {"#EXTM3U\nhttp://localhost/x.ts\n", "a playlist"},
      {"{\"error\": \"quota exceeded\"}", "JSON"},
      {"hello\n", "text (\"hello\")"},
      {"PK\x03\x04" + std::string(100, '\x01'), "a ZIP archive"},
      {std::string(4000, '\0'), "zeros"},
  };
  for (const auto& [bytes, name] : files)
    test::expect_error([&, &content = bytes] { decode_memory(content, "x.wav"); }, {"x.wav", "is not audio", name});
}

TEST(NoAudio, ZerosBeforeTheSoundAreNoReasonToRefuseIt) {
  const std::string padded = std::string(3000, '\0') + bytes_of("mp3_vbr_no_length.mp3");
  EXPECT_EQ(decode_memory(padded, "padded.mp3").samples.size(), 21312U);
}

TEST(NoAudio, NoiseIsNotTakenForMp3) {
  std::string noise(200'000, '\0');
  std::uint64_t state = 1;
  for (char& byte : noise)
    byte = static_cast<char>((state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 56);
  test::expect_error([&] { decode_memory(noise, "noise.mp3"); }, {"noise.mp3", "cannot be decoded"});
}

TEST(NoAudio, ALinkWithoutItsTargetSaysHowToGetIt) {
  const test::TemporaryFolder folder;
  fs::create_symlink("nowhere.wav", folder.path() / "x.wav");
  test::expect_error([&] { decode_file(folder.path() / "x.wav"); }, {"x.wav", "no such file", "git annex get"});
}

}  // namespace
}  // namespace axlstm::audio
