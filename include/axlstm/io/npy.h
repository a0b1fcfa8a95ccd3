// Float32 arrays on disk: NumPy's .npy (format 1.0), which are written only, and headerless files as numpy.memmap keeps
// them.
//
// An .npy file is "\x93NUMPY", two version bytes, a little-endian u16 header length, a Python dictionary literal
// {'descr': …, 'fortran_order': …, 'shape': …} padded with spaces so that the data start at a multiple of 64, then
// the values: little-endian float32 in C order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace axlstm::io {

/// What stands in an .npy file before the values.
std::string npy_header(std::span<const std::int64_t> shape);

/// The bytes of an .npy file. Throws Error if the shape's product is not the number of values.
std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const float> values);

/// Writes npy_bytes to `path`; readers see the old file or the new one, never a part.
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape, std::span<const float> values);

/// Reads a headerless file of exactly `count` float32 values. Throws Error unless the file has 4 * count bytes.
std::vector<float> read_raw_floats(const std::filesystem::path& path, std::int64_t count);

}  // namespace axlstm::io
