// What the fuzz targets share: which exceptions a parser may leave, how a broken promise is reported, and a folder to
// read files from.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "axlstm/core/error.h"
#include "support/tmpdir.h"

namespace axlstm::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Ends the program, which libFuzzer counts as a crash, unless `holds`.
inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

/// True if `parse` took the input, false if it refused it with the project's own exception. Any other exception ends
/// the program.
template <typename Parse>
bool accepted(const Parse& parse) {
  try {
    parse();
    return true;
  } catch (const Error& refusal) {
    require(refusal.what()[0] != '\0', "a refusal has a text");
    return false;
  }
}

/// True if a name leads to something inside the folder that it is put behind.
inline bool stays_inside(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(name).lexically_normal();
  return !path.empty() && path.is_relative() && *path.begin() != ".." && *path.begin() != ".";
}

/// The folder of this process's files.
inline const test::TemporaryFolder& folder() {
  static const test::TemporaryFolder instance;
  return instance;
}

/// Writes the input to the file `name` in folder().
inline std::filesystem::path file_of(const std::string& name, std::string_view bytes) {
  return folder().write(name, std::string(bytes));
}

}  // namespace axlstm::fuzz
