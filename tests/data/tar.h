// Tar archives made byte by byte (POSIX ustar), so that tests can also make damaged ones.
#pragma once

#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace axlstm::test {

using TarMembers = std::vector<std::pair<std::string, std::string>>;  ///< name, content

inline std::string tar_bytes(const TarMembers& members) {
  std::string archive;
  for (const auto& [name, content] : members) {
    std::string header(512, '\0');
    const auto put = [&](std::size_t at, const std::string& text) { header.replace(at, text.size(), text); };
    char size[12];
    std::snprintf(size, sizeof size, "%011zo", content.size());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, size);
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, std::string("ustar\0", 6));
    put(263, "00");
    const unsigned sum = std::accumulate(header.begin(), header.end(), 0U,
                                         [](unsigned total, char c) { return total + static_cast<unsigned char>(c); });
    char checksum[8];
    std::snprintf(checksum, sizeof checksum, "%06o", sum & 0777777U);
    put(148, checksum);
    archive += header + content + std::string((512 - content.size() % 512) % 512, '\0');
  }
  return archive + std::string(1024, '\0');
}

}  // namespace axlstm::test
