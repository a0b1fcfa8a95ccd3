// The safetensors container: 8-byte little-endian header length, JSON header, raw data. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "axlstm/core/files.h"

namespace axlstm::io {

struct TensorEntry {
  std::string name;
  std::string dtype;  ///< as the format spells it: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL
  std::vector<std::int64_t> shape;
  std::size_t begin = 0, end = 0;  ///< byte range within the data part
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< in the order of their data
  std::map<std::string, std::string> metadata;
  std::size_t data_offset = 0;  ///< where the data part begins in the file
};

/// Parses and checks the header of a whole file's bytes: sizes, overlaps and shapes are verified before anything is
/// allocated. Throws Error naming `source` and the tensor.
SafetensorsHeader parse_safetensors(std::string_view file, const std::string& source);

/// The header that goes before the tensors' data; `tensors` must have consecutive byte ranges from 0.
std::string write_safetensors_header(const std::vector<TensorEntry>& tensors,
                                     const std::map<std::string, std::string>& metadata);

/// The metadata key of a tensor's checksum, which our own files have: of XXH3 of its bytes, in hexadecimal, or of
/// FNV-1a (fnv1a64_hex), as files of checkpoints of format 1 have it.
std::string checksum_key(const std::string& tensor);
std::string old_checksum_key(const std::string& tensor);

/// Bytes of one element; throws Error for an unknown dtype.
std::size_t dtype_size(const std::string& dtype);

/// A file opened for reading; only its header is in memory.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const SafetensorsHeader& header() const { return header_; }

  /// Copies the tensor's `end - begin` bytes. Throws Error naming file and tensor where they are not those of its
  /// checksum, if the file has one for it.
  void read(const TensorEntry& entry, void* target) const;

 private:
  InputFile file_;
  SafetensorsHeader header_;
};

}  // namespace axlstm::io
