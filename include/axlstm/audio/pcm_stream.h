// Samples that come through a pipe, raw or as WAV → mono samples, as far as they are there. Free of LibTorch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace axlstm::audio {

enum class SampleFormat { kS16le, kF32le };
constexpr auto enum_names(SampleFormat) { return std::array{"s16le", "f32le"}; }

struct PcmFormat {
  SampleFormat samples = SampleFormat::kS16le;
  int sample_rate = 16000;  ///< Hz
  int channels = 1;
};

/// What is known before the first byte. A WAV header says all of it itself, and must not say something else.
struct PcmArguments {
  std::optional<SampleFormat> samples;
  std::optional<int> sample_rate;
  std::optional<int> channels;
};

inline constexpr int kMaxPcmRate = 768'000;
inline constexpr int kMaxPcmChannels = 256;

/// Reads as much as is there and no further, so that samples can be used at once. Used by one thread.
class PcmStream {
 public:
  /// Waits for bytes and copies at most `count` of them; returns how many, 0 at the end.
  using ReadBytes = std::function<std::size_t(char* target, std::size_t count)>;

  /// Reads the first bytes: RIFF and RF64 headers are recognised, everything else is raw samples, for which
  /// `by_default` says what `given` does not. `name` stands for the input in errors. Throws UsageError for a header
  /// that contradicts `given`, Error for one that cannot be used.
  PcmStream(ReadBytes read, const PcmArguments& given, const PcmFormat& by_default, std::string name);

  const PcmFormat& format() const { return format_; }
  bool is_wave() const { return wave_; }

  /// The samples that come next, −1 … 1, channels averaged: at least one, none at the end. They are valid until the
  /// next call. Throws Error with the place of a sample that is not finite, and with the input's own errors.
  std::span<const float> read();

  std::int64_t frames() const { return frames_; }  ///< given by read() so far

  /// What was missing or left out, once read() has come to the end; empty: nothing.
  std::string note() const;

  /// At the end: throws Error if the input ended within a sample, or before the first one.
  void check_end() const;

 private:
  std::size_t frame_bytes() const;
  bool fill(std::size_t count);  ///< until pending_ has `count` bytes; false if the input ends before
  void read_wave_header(const PcmArguments& given);
  void read_format_chunk(const std::string& content, const PcmArguments& given);
  [[noreturn]] void refuse_first_frame() const;
  void skip(std::uint64_t count);
  std::size_t convert(std::size_t frames);  ///< of `frames` frames: those before a sample that is not finite

  ReadBytes read_;
  PcmFormat format_;
  std::string name_;
  bool wave_ = false;
  std::optional<std::uint64_t> promised_;  ///< bytes of samples that a header says; none: up to the end
  std::uint64_t left_ = UINT64_MAX;        ///< bytes of samples that are still to come
  std::int64_t frames_ = 0;
  bool ended_ = false;
  std::string pending_;  ///< bytes that were read and not used
  std::vector<float> interleaved_, mono_;
};

}  // namespace axlstm::audio
