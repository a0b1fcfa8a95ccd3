#include "axlstm/io/npy.h"

#include <bit>
#include <optional>
#include <string_view>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::io {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "float32 files are little-endian and copied as they are");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kPreambleBytes = 10;  // magic, version, u16 header length
constexpr std::size_t kAlignment = 64;

/// a * b, or nothing if it does not fit.
std::optional<std::int64_t> product(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// Number of elements of `shape`; nothing for a negative size or a product beyond 2^63.
std::optional<std::int64_t> element_count(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    const auto next = product(count, size);
    if (size < 0 || !next) return std::nullopt;
    count = *next;
  }
  return count;
}

}  // namespace

std::string npy_header(std::span<const std::int64_t> shape) {
  std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) dictionary += str(i == 0 ? "" : ", ", shape[i]);
  dictionary += shape.size() == 1 ? ",), }" : "), }";
  const std::size_t used = kPreambleBytes + dictionary.size() + 1;
  dictionary.append((kAlignment - used % kAlignment) % kAlignment, ' ');
  dictionary += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(dictionary.size() & 0xff), static_cast<char>(dictionary.size() >> 8)};
  return header + dictionary;
}

std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const float> values) {
  constexpr std::size_t kMaxDimensions = 32;  // NumPy's own limit; keeps the header length within 16 bits
  const auto count = element_count(shape);
  AXLSTM_CHECK(shape.size() <= kMaxDimensions, "an .npy array of ", shape.size(), " dimensions");
  AXLSTM_CHECK(count && static_cast<std::size_t>(*count) == values.size(), "an .npy array of ", count.value_or(-1),
               " values, but ", values.size(), " are given");
  std::string bytes = npy_header(shape);
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return bytes;
}

void write_npy(const fs::path& path, std::span<const std::int64_t> shape, std::span<const float> values) {
  write_file_atomic(path, npy_bytes(shape, values));
}

std::vector<float> read_raw_floats(const fs::path& path, std::int64_t count) {
  const InputFile file(path);
  AXLSTM_CHECK(count >= 0 && product(count, sizeof(float)) == static_cast<std::int64_t>(file.size()), path.string(),
               ": ", count, " float32 values are expected, the file has ", file.size(), " bytes");
  std::vector<float> values(static_cast<std::size_t>(count));
  file.read(0, values.data(), values.size() * sizeof(float));
  return values;
}

}  // namespace axlstm::io
