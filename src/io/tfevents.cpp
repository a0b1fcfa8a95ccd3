#include "axlstm/io/tfevents.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>

#include "axlstm/core/error.h"

namespace axlstm::io {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

template <typename Number>
std::string raw(Number value) {  // little-endian, as the machine is
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Protocol buffers: a field is the key (number · 8 + type) and the value.

std::string varint(std::uint64_t value) {
  std::string bytes;
  while (value >= 0x80) {
    bytes += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  return bytes + static_cast<char>(value);
}

std::string varint_field(int number, std::uint64_t value) {
  return varint(static_cast<unsigned>(number) * 8) + varint(value);
}
std::string double_field(int number, double value) {
  return varint(static_cast<unsigned>(number) * 8 + 1) + raw(value);
}
std::string float_field(int number, float value) { return varint(static_cast<unsigned>(number) * 8 + 5) + raw(value); }
std::string bytes_field(int number, std::string_view value) {
  return varint(static_cast<unsigned>(number) * 8 + 2) + varint(value.size()) + std::string(value);
}

std::uint32_t masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U; }

/// Width and height out of a PNG's first chunk.
std::array<std::uint32_t, 2> png_size(std::string_view png) {
  constexpr std::size_t kSizes = 16;
  AXLSTM_CHECK(png.size() >= kSizes + 8 && png.substr(1, 3) == "PNG", "not a PNG picture");
  std::array<std::uint32_t, 2> sizes{};
  for (std::size_t n = 0; n < 8; ++n) sizes[n / 4] = sizes[n / 4] << 8 | static_cast<unsigned char>(png[kSizes + n]);
  return sizes;
}

/// The largest time in the names of event files; −1 without any. TensorBoard reads them in the order of their names, so
/// that a file made after the clock was set back must not come before the older ones.
std::int64_t newest_time(const std::filesystem::path& folder) {
  std::int64_t newest = -1;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) {
    const std::string name = entry.path().filename().string();
    std::int64_t time = -1;
    if (name.starts_with(kPrefix)) std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), time);
    newest = std::max(newest, time);
  }
  return newest;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t value = n;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82F63B78U : value >> 1;
      entries[n] = value;
    }
    return entries;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) crc = table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

std::string tfrecord(std::string_view event) {
  const std::string length = raw(static_cast<std::uint64_t>(event.size()));
  return length + raw(masked(crc32c(length))) + std::string(event) + raw(masked(crc32c(event)));
}

EventWriter::EventWriter(const std::filesystem::path& folder, std::int64_t first_step) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  char host[256] = "host";
  ::gethostname(host, sizeof host - 1);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  path_ = folder / str(kPrefix, std::max<std::int64_t>(seconds, newest_time(folder) + 1), ".", host, ".", ::getpid());
  out_.open(path_, std::ios::binary);
  AXLSTM_CHECK(out_, path_.string(), ": cannot be created (", std::strerror(errno), ")");
  event(0, bytes_field(3, "brain.Event:2"));  // file_version
  // session_log {status: START}: what older files hold from this step on is void.
  event(first_step, bytes_field(7, varint_field(1, 1)));
}

void EventWriter::event(std::int64_t step, const std::string& what) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  out_ << tfrecord(double_field(1, now) + varint_field(2, static_cast<std::uint64_t>(step)) + what);
}

/// Event.summary {value {…}}
void EventWriter::summary(std::int64_t step, const std::string& value) {
  event(step, bytes_field(5, bytes_field(1, value)));
}

void EventWriter::scalar(const std::string& tag, std::int64_t step, double value) {
  summary(step, bytes_field(1, tag) + float_field(2, static_cast<float>(value)));
}

void EventWriter::picture(const std::string& tag, std::int64_t step, std::string_view png) {
  const auto [width, height] = png_size(png);
  constexpr int kRgb = 3;
  const std::string image =
      varint_field(1, height) + varint_field(2, width) + varint_field(3, kRgb) + bytes_field(4, png);
  summary(step, bytes_field(1, tag) + bytes_field(4, image));
}

void EventWriter::text(const std::string& tag, std::int64_t step, std::string_view text) {
  constexpr int kString = 7;                                     // DT_STRING
  const std::string shape = bytes_field(2, varint_field(1, 1));  // [1]
  const std::string tensor = varint_field(1, kString) + bytes_field(2, shape) + bytes_field(8, text);
  const std::string metadata = bytes_field(1, bytes_field(1, "text"));  // plugin_data {plugin_name}
  summary(step, bytes_field(1, tag) + bytes_field(8, tensor) + bytes_field(9, metadata));
}

bool EventWriter::flush() {
  out_.flush();
  const bool written = static_cast<bool>(out_);
  out_.clear();
  return written;
}

}  // namespace axlstm::io
