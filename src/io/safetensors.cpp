#include "axlstm/io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/xxh3.h"
#include "core/json.h"

namespace axlstm::io {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxDimensions = 64;

TensorEntry parse_entry(const std::string& name, const nlohmann::json& value, std::size_t data_bytes,
                        const std::string& source) {
  const auto fail = [&](const auto&... what) { throw Error(str(source, ": tensor '", name, "': ", what...)); };
  TensorEntry entry;
  entry.name = name;
  try {
    entry.dtype = value.at("dtype").get<std::string>();
    const auto size = [&](const nlohmann::json& number) {
      constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      if (!number.is_number_unsigned() || number.get<std::uint64_t>() > kLargest)
        fail("impossible shape or offset ", number.dump());
      return number.get<std::int64_t>();
    };
    for (const auto& number : value.at("shape").get<std::vector<nlohmann::json>>()) entry.shape.push_back(size(number));
    const auto& offsets = value.at("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2) fail("data_offsets must be two numbers");
    entry.begin = static_cast<std::size_t>(size(offsets[0]));
    entry.end = static_cast<std::size_t>(size(offsets[1]));
  } catch (const nlohmann::json::exception& failure) {
    fail("damaged header (", failure.what(), ")");
  }
  if (entry.shape.size() > kMaxDimensions) fail(entry.shape.size(), " dimensions");
  if (entry.begin > entry.end || entry.end > data_bytes) {
    fail("claims bytes ", entry.begin, "–", entry.end, " of ", data_bytes, "; the file is truncated or damaged");
  }
  std::size_t bytes = 0;
  try {
    bytes = dtype_size(entry.dtype);
  } catch (const Error& failure) {
    fail(failure.what());
  }
  for (const std::int64_t size : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes)) fail("impossible shape");
  }
  if (bytes != entry.end - entry.begin) fail("its shape needs ", bytes, " bytes, it has ", entry.end - entry.begin);
  return entry;
}

/// Of the JSON that follows; `start` holds the first bytes of a file of `file_bytes`.
std::size_t header_length(std::string_view start, std::uint64_t file_bytes, const std::string& source) {
  AXLSTM_CHECK(file_bytes >= kLengthBytes, source, ": not a safetensors file (", file_bytes, " bytes)");
  std::uint64_t length = 0;
  std::memcpy(&length, start.data(), kLengthBytes);  // little-endian, as every machine this runs on
  AXLSTM_CHECK(length <= std::min<std::uint64_t>(kMaxHeaderBytes, file_bytes - kLengthBytes), source,
               ": not a safetensors file, or truncated (header of ", length, " bytes in a file of ", file_bytes, ")");
  return length;
}

SafetensorsHeader parse_header(std::string_view text, std::size_t data_bytes, const std::string& source) {
  SafetensorsHeader header;
  header.data_offset = kLengthBytes + text.size();
  constexpr const char* kNoHeader = "the safetensors header is not a JSON object";
  const auto json = parse_json(text, source, kNoHeader);
  AXLSTM_CHECK(json.is_object(), source, ": ", kNoHeader);
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      AXLSTM_CHECK(value.is_object(), source, ": __metadata__ is not an object");
      for (const auto& [key, text] : value.items()) {
        AXLSTM_CHECK(text.is_string(), source, ": metadata '", key, "' is not text");
        header.metadata[key] = text.get<std::string>();
      }
    } else {
      header.tensors.push_back(parse_entry(name, value, data_bytes, source));
    }
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  std::size_t at = 0;
  for (const TensorEntry& tensor : header.tensors) {
    AXLSTM_CHECK(tensor.begin == at, source, ": tensor '", tensor.name, "' begins at byte ", tensor.begin,
                 ", expected ", at);
    at = tensor.end;
  }
  AXLSTM_CHECK(at == data_bytes, source, ": ", data_bytes - at, " bytes belong to no tensor");
  return header;
}

}  // namespace

std::size_t dtype_size(const std::string& dtype) {
  static const std::map<std::string, std::size_t> sizes{{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                                        {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  const auto found = sizes.find(dtype);
  AXLSTM_CHECK(found != sizes.end(), "safetensors: unknown dtype '", dtype, "'");
  return found->second;
}

SafetensorsHeader parse_safetensors(std::string_view file, const std::string& source) {
  const std::size_t length = header_length(file, file.size(), source);
  return parse_header(file.substr(kLengthBytes, length), file.size() - kLengthBytes - length, source);
}

std::string write_safetensors_header(const std::vector<TensorEntry>& tensors,
                                     const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  for (const TensorEntry& tensor : tensors) {
    json[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {tensor.begin, tensor.end}}};
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data starts on a multiple of 8
  const std::uint64_t length = text.size();
  std::string header(kLengthBytes, '\0');
  std::memcpy(header.data(), &length, kLengthBytes);
  return header + text;
}

std::string checksum_key(const std::string& tensor) { return "xxh3." + tensor; }

std::string old_checksum_key(const std::string& tensor) { return "fnv1a64." + tensor; }

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string source = path.string();
  const std::string start = file_.read(0, std::min<std::uint64_t>(kLengthBytes, file_.size()));
  const std::size_t length = header_length(start, file_.size(), source);
  header_ = parse_header(file_.read(kLengthBytes, length), file_.size() - kLengthBytes - length, source);
}

void SafetensorsFile::read(const TensorEntry& entry, void* target) const {
  const std::size_t bytes = entry.end - entry.begin;
  file_.read(header_.data_offset + entry.begin, target, bytes);
  const std::string_view content(static_cast<const char*>(target), bytes);
  const auto differs = [&](const std::string& key, const auto& checksum_of) {
    const auto written = header_.metadata.find(key);
    return written != header_.metadata.end() && written->second != checksum_of(content);
  };
  const bool damaged = differs(checksum_key(entry.name), [](std::string_view all) { return xxh3_hex(all); }) ||
                       differs(old_checksum_key(entry.name), [](std::string_view all) { return fnv1a64_hex(all); });
  AXLSTM_CHECK(!damaged, file_.path().string(), ": tensor '", entry.name,
               "': the content does not match its checksum; the file is damaged");
}

}  // namespace axlstm::io
