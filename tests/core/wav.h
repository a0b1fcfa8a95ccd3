// WAV files made byte by byte, so that tests can also make damaged ones.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <numbers>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace axlstm::test {

struct WavOptions {
  std::uint32_t sample_rate = 16000;
  std::uint16_t channels = 1;
  std::optional<std::uint32_t> claimed_data_bytes = {};  ///< of the data chunk's header; the true number if not given
  std::string trailer = {};                              ///< chunks after the data
};

/// A WAV file of interleaved samples: std::int16_t as PCM, float as IEEE float.
template <typename Sample>
std::string wav_bytes(const std::vector<Sample>& samples, const WavOptions& options = {}) {
  std::string bytes;
  const auto put = [&](auto value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes.append(raw, sizeof value);
  };
  const auto data_bytes = static_cast<std::uint32_t>(samples.size() * sizeof(Sample));
  const std::uint16_t frame = static_cast<std::uint16_t>(options.channels * sizeof(Sample));
  const std::uint32_t claimed = options.claimed_data_bytes.value_or(data_bytes);
  bytes += "RIFF";
  put(options.claimed_data_bytes == 0xFFFFFFFFU ? claimed
                                                : static_cast<std::uint32_t>(36 + claimed + options.trailer.size()));
  bytes += "WAVEfmt ";
  put(std::uint32_t{16});
  put(static_cast<std::uint16_t>(std::is_floating_point_v<Sample> ? 3 : 1));
  put(options.channels);
  put(options.sample_rate);
  put(options.sample_rate * frame);
  put(frame);
  put(static_cast<std::uint16_t>(8 * sizeof(Sample)));
  bytes += "data";
  put(claimed);
  bytes.append(reinterpret_cast<const char*>(samples.data()), data_bytes);
  return bytes + options.trailer;
}

/// `seconds` of a sine at half of full scale.
inline std::vector<std::int16_t> sine(double seconds, double hz, double sample_rate = 16000) {
  std::vector<std::int16_t> samples(static_cast<std::size_t>(std::llround(seconds * sample_rate)));
  for (std::size_t n = 0; n < samples.size(); ++n) {
    const double phase = 2 * std::numbers::pi * hz * static_cast<double>(n) / sample_rate;
    samples[n] = static_cast<std::int16_t>(std::lround(16384 * std::sin(phase)));
  }
  return samples;
}

}  // namespace axlstm::test
