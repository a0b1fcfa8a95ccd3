// Names of enumerations, in configurations, options and messages. Beside an enumeration whose values count from 0
// stands
//
//   constexpr auto enum_names(DeviceChoice) { return std::array{"auto", "cpu", "cuda"}; }
//
// with the names in the order of the values: the one place where they are written.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace axlstm {

/// Such as "cuda".
template <typename Enum>
constexpr const char* enum_name(Enum value) {
  return enum_names(value).at(static_cast<std::size_t>(value));
}

/// All names, in the order of the values.
template <typename Enum>
std::vector<std::string> names_of() {
  const auto names = enum_names(Enum{});
  return {names.begin(), names.end()};
}

/// The value of that name, if there is one.
template <typename Enum>
constexpr std::optional<Enum> enum_of(std::string_view name) {
  const auto names = enum_names(Enum{});
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

/// All names with `separator` between them, such as "auto, cpu, cuda".
template <typename Enum>
std::string list_names(const char* separator = ", ") {
  std::string list;
  for (const char* name : enum_names(Enum{})) {
    if (!list.empty()) list += separator;
    list += name;
  }
  return list;
}

}  // namespace axlstm
