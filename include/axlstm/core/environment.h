// Environment variables, so that tests can play them.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace axlstm {

/// Value of an environment variable; nothing if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// This process's own.
Environment process_environment();

}  // namespace axlstm
