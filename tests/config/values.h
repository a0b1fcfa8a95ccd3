// The scalars of a configuration tree, in order, under their dotted keys.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "axlstm/config/config.h"

namespace axlstm::test {

using Scalars = std::vector<std::pair<std::string, std::string>>;

inline Scalars scalars(const config::Node& node, const std::string& prefix = "") {
  Scalars found;
  for (const auto& [key, value] : node.entries) {
    const std::string path = prefix.empty() ? key : prefix + "." + key;
    if (value.kind == config::Node::Kind::kMap) {
      for (auto& inner : scalars(value, path)) found.push_back(std::move(inner));
    } else {
      found.emplace_back(path, value.scalar);
    }
  }
  return found;
}

}  // namespace axlstm::test
