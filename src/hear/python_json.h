// JSON as Python's json module writes and reads it (not installed: it names nlohmann types).
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace axlstm::hear {

/// The float as Python prints it: shortest digits that read back equal, "1e-05", "NaN", "Infinity".
std::string python_float(double value);

/// `json.dumps(value, indent=indent)`: ASCII only, keys in their order. A negative indent means None (one line).
std::string python_json(const nlohmann::ordered_json& value, int indent);

/// Parses a file; Python's NaN, Infinity and -Infinity, which JSON does not have, become null. Throws Error naming the
/// file and the parser's reason.
nlohmann::json read_json(const std::filesystem::path& path);

/// The members of the object in `path`, in the order of the file. Throws Error naming file and key for a key given
/// twice, and for a file that holds no object.
std::vector<std::pair<std::string, nlohmann::json>> read_json_members(const std::filesystem::path& path);

}  // namespace axlstm::hear
