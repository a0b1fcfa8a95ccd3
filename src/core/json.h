// JSON of unknown origin.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace axlstm {

/// Parses `text`. Throws Error, "<source>: <complaint> (<what is wrong where>)" for what is no JSON, and for arrays and
/// objects that lie in each other more than 100 deep: what copies or prints a value calls itself once a level, and a
/// few kilobytes of brackets would exhaust the stack. `callback` sees the parts as nlohmann's parser finds them, and
/// drops those that it returns false for.
nlohmann::json parse_json(std::string_view text, const std::string& source,
                          const std::string& complaint = "not valid JSON",
                          const nlohmann::json::parser_callback_t& callback = nullptr);

/// The same for what may be damaged or something else: nothing then.
std::optional<nlohmann::json> try_parse_json(std::string_view text);

}  // namespace axlstm
