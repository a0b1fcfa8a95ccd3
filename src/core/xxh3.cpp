#include "axlstm/core/xxh3.h"

#define XXH_INLINE_ALL  // the header alone, so that programs need no library of it
#include <xxhash.h>

#include <algorithm>

namespace axlstm {

std::uint64_t xxh3(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::uint64_t xxh3(const InputFile& file) {
  constexpr std::uint64_t kBlockBytes = 1 << 20;
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  std::string block;
  for (std::uint64_t at = 0; at < file.size(); at += block.size()) {
    block.resize(std::min(file.size() - at, kBlockBytes));
    file.read(at, block.data(), block.size());
    XXH3_64bits_update(&state, block.data(), block.size());
  }
  return XXH3_64bits_digest(&state);
}

std::string xxh3_hex(std::string_view bytes) { return hex(xxh3(bytes)); }

std::string xxh3_hex(const InputFile& file) { return hex(xxh3(file)); }

}  // namespace axlstm
