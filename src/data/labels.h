// Labels in JSON, as manifests and WebDataset archives have them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace axlstm::data {

/// "labels" or "label" of an object as one text: a list's entries are joined by commas. Empty if it has neither.
inline std::string labels_of(const nlohmann::json& object) {
  const auto text = [](const nlohmann::json& value) {
    if (value.is_null()) return std::string();
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  for (const char* name : {"labels", "label"}) {
    if (!object.is_object() || !object.contains(name)) continue;
    const nlohmann::json& value = object.at(name);
    if (!value.is_array()) return text(value);
    std::string joined;
    for (const auto& entry : value) {
      if (!joined.empty()) joined += ',';
      joined += text(entry);
    }
    return joined;
  }
  return "";
}

}  // namespace axlstm::data
