// The list of architectures: a new one is a folder beside these and a line here.
#pragma once

#include <tuple>

#include "axlstm/architecture.h"
#include "mae/architecture.h"
#include "ssam/architecture.h"
#include "ssast/architecture.h"

namespace axlstm::model {

using Architectures = std::tuple<Axlstm, Ssam, Ssast, Mae>;

/// Calls `visit` with an empty tuple element of each type in turn.
template <typename Visit>
void for_each_architecture(const Visit& visit) {
  std::apply([&](const auto&... each) { (visit(each), ...); }, Architectures());
}

/// As add_architecture, of facts alone.
void add_facts(Architecture facts);

}  // namespace axlstm::model
