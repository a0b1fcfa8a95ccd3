// Numbers in names of files that sort by them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace axlstm {

/// Such as "00000042" for 42 and 8 digits; longer numbers stay whole. Numbers are not negative.
inline std::string zero_padded(std::uint64_t number, std::size_t digits) {
  std::string text = std::to_string(number);
  if (text.size() < digits) text.insert(0, digits - text.size(), '0');
  return text;
}

}  // namespace axlstm
