// Zip archives made byte by byte, stored without compression, names marked as UTF-8.
#pragma once

#include <cstdint>
#include <string>

#include "data/tar.h"

namespace axlstm::test {

inline std::uint32_t zip_checksum(const std::string& bytes) {
  std::uint32_t state = 0xffffffff;
  for (const char byte : bytes) {
    state ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (0xedb88320 & (0 - (state & 1)));
  }
  return ~state;
}

inline std::string zip_bytes(const TarMembers& members) {
  const auto number = [](std::uint64_t value, int bytes) {
    std::string text;
    for (int n = 0; n < bytes; ++n) text += static_cast<char>(value >> 8 * n & 0xff);
    return text;
  };
  std::string archive, directory;
  for (const auto& [name, content] : members) {
    const std::string common = number(20, 2) + number(0x0800, 2) + number(0, 2) + number(0, 4) +
                               number(zip_checksum(content), 4) + number(content.size(), 4) +
                               number(content.size(), 4) + number(name.size(), 2) + number(0, 2);
    directory += number(0x02014b50, 4) + number(20, 2) + common + number(0, 2) + number(0, 2) + number(0, 2) +
                 number(0, 4) + number(archive.size(), 4) + name;
    archive += number(0x04034b50, 4) + common + name + content;
  }
  return archive + directory + number(0x06054b50, 4) + number(0, 4) + number(members.size(), 2) +
         number(members.size(), 2) + number(directory.size(), 4) + number(archive.size(), 4) + number(0, 2);
}

}  // namespace axlstm::test
