#include "axlstm/io/npy.h"

#include <bit>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
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

/// Reads the header's dictionary: the three keys, in any order, and nothing else.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const fs::path& path) : text_(text), path_(path) {}

  std::vector<std::int64_t> parse() {
    expect('{');
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> shape;
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !descr) {
        descr = quoted();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        fail(str("unexpected key '", key, "'"));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (position_ != text_.size()) fail("text after the dictionary");
    if (!descr || !fortran_order || !shape) fail("descr, fortran_order or shape is missing");
    if (*descr != "<f4") fail(str("values of type '", *descr, "' (only '<f4', little-endian float32, is read)"));
    if (*fortran_order) fail("Fortran order (only C order is read)");
    return *std::move(shape);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(str(path_.string(), ": .npy header: ", what)); }

  void skip_space() {
    while (position_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[position_]))) ++position_;
  }

  bool accept(char wanted) {
    skip_space();
    if (position_ >= text_.size() || text_[position_] != wanted) return false;
    ++position_;
    return true;
  }

  void expect(char wanted) {
    if (!accept(wanted)) fail(str("'", wanted, "' expected at byte ", kPreambleBytes + position_));
  }

  std::string quoted() {
    expect('\'');
    const std::size_t end = text_.find('\'', position_);
    if (end == std::string_view::npos) fail("a quote is not closed");
    std::string value(text_.substr(position_, end - position_));
    position_ = end + 1;
    return value;
  }

  bool boolean() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view name = value ? "True" : "False";
      if (text_.substr(position_, name.size()) == name) {
        position_ += name.size();
        return value;
      }
    }
    fail("fortran_order is neither True nor False");
  }

  std::vector<std::int64_t> tuple() {
    expect('(');
    std::vector<std::int64_t> sizes;
    while (!accept(')')) {
      sizes.push_back(number());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  std::int64_t number() {
    skip_space();
    std::int64_t value = 0;
    const std::size_t start = position_;
    while (position_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[position_]))) {
      const auto tenfold = product(value, 10);
      const int digit = text_[position_] - '0';
      if (!tenfold || __builtin_add_overflow(*tenfold, digit, &value)) fail("a size of the shape is too large");
      ++position_;
    }
    if (position_ == start) fail("a number is expected in the shape");
    return value;
  }

  std::string_view text_;
  const fs::path& path_;
  std::size_t position_ = 0;
};

std::ifstream open_binary(const fs::path& path) {
  AXLSTM_CHECK(!fs::is_directory(path), path.string(), ": is a folder, a file is needed");
  std::ifstream in(path, std::ios::binary);
  AXLSTM_CHECK(in, path.string(), ": cannot be opened (", std::strerror(errno), ")");
  return in;
}

/// Reads the `count` floats that are known to be left in `in`.
std::vector<float> read_floats(std::ifstream& in, std::int64_t count, const fs::path& path) {
  std::vector<float> values(static_cast<std::size_t>(count));
  in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  AXLSTM_CHECK(in, path.string(), ": read error (", std::strerror(errno), ")");
  return values;
}

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

}  // namespace

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

NpyArray read_npy(const fs::path& path) {
  std::ifstream in = open_binary(path);
  const auto file_bytes = static_cast<std::int64_t>(fs::file_size(path));
  std::string preamble(kPreambleBytes, '\0');
  in.read(preamble.data(), static_cast<std::streamsize>(preamble.size()));
  AXLSTM_CHECK(in && preamble.starts_with(kMagic), path.string(), ": not an .npy file (no \\x93NUMPY at its start)");
  const auto byte = [&](std::size_t i) { return static_cast<int>(static_cast<unsigned char>(preamble[i])); };
  AXLSTM_CHECK(byte(6) == 1 && byte(7) == 0, path.string(), ": .npy format ", byte(6), ".", byte(7),
               " (only 1.0 is read)");
  std::string header(static_cast<std::size_t>(byte(8) + 256 * byte(9)), '\0');
  in.read(header.data(), static_cast<std::streamsize>(header.size()));
  AXLSTM_CHECK(in, path.string(), ": the file ends inside the .npy header");

  NpyArray array;
  array.shape = HeaderParser(header, path).parse();
  const std::int64_t data_bytes = file_bytes - static_cast<std::int64_t>(kPreambleBytes + header.size());
  const auto count = element_count(array.shape);
  const auto needed_bytes = count ? product(*count, sizeof(float)) : std::nullopt;
  AXLSTM_CHECK(needed_bytes == data_bytes, path.string(), ": the shape asks for ",
               needed_bytes ? str(*needed_bytes) : "more than 2^63", " bytes of values, the file has ", data_bytes);
  array.values = read_floats(in, *count, path);
  return array;
}

std::vector<float> read_raw_floats(const fs::path& path, std::int64_t count) {
  std::ifstream in = open_binary(path);
  const auto file_bytes = static_cast<std::int64_t>(fs::file_size(path));
  AXLSTM_CHECK(count >= 0 && product(count, sizeof(float)) == file_bytes, path.string(), ": ", count,
               " float32 values are expected, the file has ", file_bytes, " bytes");
  return read_floats(in, count, path);
}

}  // namespace axlstm::io
