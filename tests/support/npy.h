// Reads back the .npy files that are written; no program does.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::test {

struct NpyArray {
  std::vector<std::int64_t> shape;
  std::vector<float> values;  ///< C order
};

/// Of format 1.0, little-endian float32 in C order, the dictionary written as NumPy does.
inline NpyArray read_npy(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  constexpr std::size_t kPreamble = 10;  // magic, version, u16 header length
  constexpr std::string_view kBegin = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  AXLSTM_CHECK(bytes.size() > kPreamble && bytes.starts_with(std::string_view("\x93NUMPY\x01\x00", 8)), path.string(),
               ": no .npy file of format 1.0");
  const std::size_t length = static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(kPreamble, length);
  AXLSTM_CHECK(header.starts_with(kBegin), path.string(), ": another header: ", header);
  NpyArray array;
  std::size_t count = 1;
  std::istringstream sizes(header.substr(kBegin.size(), header.find(')') - kBegin.size()));
  for (std::string size; std::getline(sizes, size, ',');) {
    if (size.empty()) continue;
    array.shape.push_back(std::stoll(size));
    count *= static_cast<std::size_t>(array.shape.back());
  }
  AXLSTM_CHECK(bytes.size() == kPreamble + length + 4 * count, path.string(), ": ", bytes.size(), " bytes");
  array.values.resize(count);
  if (count > 0) std::memcpy(array.values.data(), bytes.data() + kPreamble + length, 4 * count);
  return array;
}

}  // namespace axlstm::test
