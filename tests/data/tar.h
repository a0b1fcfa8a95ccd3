// Tar archives made byte by byte (POSIX ustar), so that tests can also make damaged ones.
#pragma once

#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace axlstm::test {

using TarMembers = std::vector<std::pair<std::string, std::string>>;  ///< name, content

/// What marks a member's content as the target of a link rather than a content.
inline const std::string kHardLink = "hard link to ", kSymbolicLink = "symbolic link to ";

inline std::string tar_bytes(const TarMembers& members) {
  std::string archive;
  for (const auto& [name, text] : members) {
    const bool hard = text.starts_with(kHardLink), symbolic = text.starts_with(kSymbolicLink);
    const std::string target = hard       ? text.substr(kHardLink.size())
                               : symbolic ? text.substr(kSymbolicLink.size())
                                          : std::string();
    const std::string content = hard || symbolic ? std::string() : text;
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
    put(156, hard ? "1" : symbolic ? "2" : "0");
    put(157, target);
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
