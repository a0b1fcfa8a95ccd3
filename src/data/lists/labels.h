// Labels in JSON, as lists and archives have them.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "list_columns.h"

namespace axlstm::data {

/// "labels", "label" or another name of them (docs/data.md) of an object as one text: a list's entries are joined by
/// commas. Empty if it has none.
inline std::string labels_of(const nlohmann::json& object) {
  const auto text = [](const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>()
                             : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  const nlohmann::json* found = nullptr;
  std::optional<int> best;
  if (!object.is_object()) return "";
  for (const auto& [name, value] : object.items()) {
    const std::optional<int> rank = value.is_null() ? std::nullopt : labels_rank(name);
    if (!rank || (best && *best <= *rank)) continue;
    best = rank;
    found = &value;
  }
  if (!found) return "";
  if (!found->is_array()) return text(*found);
  std::string joined;
  for (const auto& entry : *found) {
    if (!joined.empty()) joined += ',';
    joined += entry.is_null() ? "" : text(entry);
  }
  return joined;
}

}  // namespace axlstm::data
