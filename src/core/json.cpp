#include "core/json.h"

#include "axlstm/core/error.h"

namespace axlstm {

using nlohmann::json;

json parse_json(std::string_view text, const std::string& source, const std::string& complaint,
                const json::parser_callback_t& callback) {
  constexpr int kMaxDepth = 100;
  const auto bounded = [&](int depth, json::parse_event_t event, json& parsed) {
    const bool begins = event == json::parse_event_t::array_start || event == json::parse_event_t::object_start;
    AXLSTM_CHECK(!begins || depth < kMaxDepth, source, ": JSON of more than ", kMaxDepth,
                 " levels; the file is damaged");
    return !callback || callback(depth, event, parsed);
  };
  try {
    return json::parse(text, bounded);
  } catch (const json::exception& failure) {
    throw Error(str(source, ": ", complaint, " (", failure.what(), ")"));
  }
}

std::optional<json> try_parse_json(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace axlstm
