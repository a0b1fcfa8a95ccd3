// XXH3, the checksum of checkpoints: as fast as memory. It detects damage, not malice.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "axlstm/core/files.h"

namespace axlstm {

/// XXH3 of 64 bits, with seed 0.
std::uint64_t xxh3(std::string_view bytes);
std::uint64_t xxh3(const InputFile& file);

/// The same as 16 hexadecimal digits.
std::string xxh3_hex(std::string_view bytes);
std::string xxh3_hex(const InputFile& file);

}  // namespace axlstm
