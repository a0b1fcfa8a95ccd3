#include "hear/python_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <unordered_set>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "core/json.h"

namespace axlstm::hear {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// Puts null in the place of each NaN, Infinity and -Infinity that is no part of a string.
std::string without_special_numbers(std::string text) {
  if (text.find("NaN") == std::string::npos && text.find("Infinity") == std::string::npos) return text;
  std::string plain;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size();) {
    if (in_string && text[i] == '\\') {
      plain += text.substr(i, 2);
      i += 2;
      continue;
    }
    if (text[i] == '"') in_string = !in_string;
    std::size_t length = 0;
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (!in_string && length == 0 && text.compare(i, word.size(), word) == 0) length = word.size();
    }
    plain += length > 0 ? "null" : text.substr(i, 1);
    i += std::max<std::size_t>(length, 1);
  }
  return plain;
}

json parse(const std::filesystem::path& path, const json::parser_callback_t& callback) {
  return parse_json(without_special_numbers(read_file(path)), path.string(), "not valid JSON", callback);
}

class Printer {
 public:
  explicit Printer(int indent) : indent_(indent) {}

  std::string print(const ordered_json& value) {
    put(value, 0);
    return std::move(out_);
  }

 private:
  void put(const ordered_json& value, int depth) {
    if (value.is_object()) {
      put_all(value, depth, '{', '}');
    } else if (value.is_array()) {
      put_all(value, depth, '[', ']');
    } else if (value.is_number_float()) {
      out_ += python_float(value.get<double>());
    } else {
      out_ += value.dump(-1, ' ', /*ensure_ascii=*/true);
    }
  }

  void put_all(const ordered_json& values, int depth, char open, char close) {
    out_ += open;
    bool first = true;
    for (const auto& [key, value] : values.items()) {
      if (!first) out_ += indent_ < 0 ? ", " : ",";
      first = false;
      put_line_break(depth + 1);
      if (values.is_object()) out_ += ordered_json(key).dump(-1, ' ', /*ensure_ascii=*/true) + ": ";
      put(value, depth + 1);
    }
    if (!first) put_line_break(depth);
    out_ += close;
  }

  void put_line_break(int depth) {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(indent_) * static_cast<std::size_t>(depth), ' ');
  }

  int indent_;
  std::string out_;
};

}  // namespace

std::string python_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  std::array<char, 64> buffer{};
  const double magnitude = std::abs(value);
  // Python switches to an exponent below 1e-4 and from 1e16 on.
  const bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr;
  std::string text(buffer.data(), end);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string python_json(const ordered_json& value, int indent) { return Printer(indent).print(value); }

json read_json(const std::filesystem::path& path) { return parse(path, nullptr); }

std::vector<std::pair<std::string, json>> read_json_members(const std::filesystem::path& path) {
  std::vector<std::string> keys;
  json object = parse(path, [&keys](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::key && depth == 1) keys.push_back(parsed.get<std::string>());
    return true;
  });
  AXLSTM_CHECK(object.is_object(), path.string(), ": a JSON object is needed, found ", object.type_name());
  std::unordered_set<std::string> seen;
  std::vector<std::pair<std::string, json>> members;
  members.reserve(keys.size());
  for (const std::string& key : keys) {
    AXLSTM_CHECK(seen.insert(key).second, path.string(), ": key \"", key, "\" is given twice");
    members.emplace_back(key, std::move(object[key]));
  }
  return members;
}

}  // namespace axlstm::hear
