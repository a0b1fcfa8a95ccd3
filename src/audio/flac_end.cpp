// Whether a FLAC file ends on a whole frame. The format's frames end with a CRC-16 over all of their bytes (RFC 9639,
// section 9), so that a frame's CRC over itself and its checksum is 0.
#include <algorithm>
#include <cstdint>

#include "decoder.h"

namespace axlstm::audio {
namespace {

constexpr std::uint64_t kLargestFrame = std::uint64_t{1} << 18;  // they are of some kilobytes
constexpr std::uint64_t kMostWork = std::uint64_t{1} << 25;      // bytes; a crafted file could be full of beginnings

std::uint16_t next_crc16(std::uint16_t crc, unsigned char byte) {
  crc = static_cast<std::uint16_t>(crc ^ byte << 8);
  for (int bit = 0; bit < 8; ++bit)
    crc = static_cast<std::uint16_t>((crc & 0x8000) != 0 ? crc << 1 ^ 0x8005 : crc << 1);
  return crc;
}

}  // namespace

bool ends_on_flac_frame(const ByteSource& bytes) {
  const std::uint64_t size = std::min(bytes.size(), kLargestFrame);
  const std::string tail = bytes.text(bytes.size() - size, static_cast<std::size_t>(size));
  const auto at = [&](std::size_t n) { return static_cast<unsigned char>(tail[n]); };
  std::uint64_t work = 0;
  // From the end back, for the last frame is the shortest try.
  for (std::size_t begin = tail.size(); begin-- > 0;) {
    if (at(begin) != 0xFF || begin + 8 > tail.size() || (at(begin + 1) & 0xFE) != 0xF8) continue;
    if ((work += tail.size() - begin) > kMostWork) return false;
    std::uint16_t crc = 0;
    for (std::size_t n = begin; n < tail.size(); ++n) crc = next_crc16(crc, at(n));
    if (crc == 0) return true;
  }
  return false;
}

}  // namespace axlstm::audio
