// The three walks over a configuration: reading, printing as YAML, printing as a reference table.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>
#include <string_view>
#include <type_traits>

#include "axlstm/config/config.h"
#include "axlstm/core/error.h"

namespace axlstm::config {
namespace {

std::string print(double value) {
  char buffer[32];
  const auto [end, status] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return status == std::errc() ? std::string(buffer, end) : str(value);
}

std::string print(bool value) { return value ? "true" : "false"; }

/// Plain where YAML reads it back as the same text, quoted otherwise. Not by YAML::Emitter, which puts U+FFFD in the
/// place of bytes that are not UTF-8, as paths may have.
std::string print(const std::string& text) {
  constexpr auto kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
  const bool null = text == "null" || text == "Null" || text == "NULL";
  const bool plain =
      !text.empty() && !null && text.find_first_not_of(kPlain) == std::string::npos && text.front() != '-';
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (const auto code = static_cast<unsigned char>(c); code < 0x20) {  // line breaks and the like
      constexpr auto kDigits = "0123456789abcdef";
      quoted += {'\\', 'x', kDigits[code / 16], kDigits[code % 16]};
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string print(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

std::string print(Range range) {
  if (std::isinf(range.min) && std::isinf(range.max)) return "";
  if (std::isinf(range.max)) return str("≥ ", print(range.min));
  return str(print(range.min), " … ", print(range.max));
}

template <typename Number>
bool parse_whole(std::string_view text, Number& value, [[maybe_unused]] int base = 10) {
  Number parsed{};
  std::from_chars_result result{};
  if constexpr (std::is_integral_v<Number>) {
    result = std::from_chars(text.data(), text.data() + text.size(), parsed, base);
  } else {
    result = std::from_chars(text.data(), text.data() + text.size(), parsed);
  }
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return false;
  value = parsed;
  return true;
}

/// A number as YAML 1.2 writes them: +1.5E-04, .5, 0x1F, 0o17, .inf.
template <typename Number>
bool parse_number(const std::string& text, Number& value) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.starts_with('-') && digits.size() < text.size()) return false;
  if constexpr (std::is_integral_v<Number>) {
    const bool signless = digits.size() > 2 && digits[2] != '-';
    if (signless && digits.starts_with("0x")) return parse_whole(digits.substr(2), value, 16);
    if (signless && digits.starts_with("0o")) return parse_whole(digits.substr(2), value, 8);
  } else {
    const std::string_view word = digits.substr(digits.starts_with('-') ? 1 : 0);
    if (word == ".inf" || word == ".Inf" || word == ".INF") {
      value = std::numeric_limits<Number>::infinity() * (digits.size() > word.size() ? -1 : 1);
      return true;
    }
    if (word == ".nan" || word == ".NaN" || word == ".NAN") {
      value = std::numeric_limits<Number>::quiet_NaN();
      return true;
    }
  }
  return parse_whole(digits, value);
}

/// What to write instead, where a value is a number in another way of writing; empty if it is none.
std::string number_hint(const std::string& text, bool whole) {
  std::string plain = text;
  std::erase(plain, '_');
  double value = 0;
  if (!parse_number(plain, value)) {
    std::replace(plain.begin(), plain.end(), ',', '.');
    return parse_number(plain, value) ? "; a decimal point divides the fraction: " + plain : "";
  }
  if (whole && std::abs(value) < 1e15 && value == std::floor(value))
    return str("; write ", static_cast<std::int64_t>(value));
  return plain != text ? "; YAML 1.2 has no '_' in numbers: write " + plain : "";
}

[[noreturn]] void wrong_type(const Node& node, const std::string& path, const std::string& needed,
                             const std::string& hint = "") {
  const std::string found = node.kind == Node::Kind::kScalar     ? "'" + node.scalar + "'"
                            : node.kind == Node::Kind::kMap      ? "a section"
                            : node.kind == Node::Kind::kSequence ? "a list"
                                                                 : "nothing";
  throw UsageError(str(node.origin.str(), ": ", path, " is ", found, ", it takes ", needed, hint));
}

void check_range(const Node& node, const std::string& path, double value, Range range) {
  if (value >= range.min && value <= range.max) return;  // false for NaN
  throw UsageError(str(node.origin.str(), ": ", path, " is ", node.scalar, ", allowed is ", print(range)));
}

bool is_one_of(const std::string& text, std::initializer_list<const char*> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::string without_outer_spaces(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// A text in the place of a list, as the command line gives one: "a,b", or "[a, b]" as YAML writes lists, in which a
/// name with a comma can stand in quotes.
Node list_of(const Node& text, const std::string& path) {
  Node list;
  list.kind = Node::Kind::kSequence;
  list.origin = text.origin;
  const std::string trimmed = without_outer_spaces(text.scalar);
  if (trimmed.starts_with("[")) {
    const auto refuse = [&] {
      throw UsageError(str(text.origin.str(), ": ", path, " is '", text.scalar, "', it takes [a, b] or a,b",
                           trimmed.ends_with("]") ? "; quote names with brackets or colons" : "; the ']' is missing"));
    };
    Node parsed;
    try {
      parsed = parse("list: " + trimmed, path);
    } catch (const UsageError&) {
      refuse();
    }
    // Of several lines the others may be keys of their own.
    if (parsed.entries.size() != 1 || parsed.entries.front().value.kind != Node::Kind::kSequence) refuse();
    list.items = parsed.entries.front().value.items;
    for (Node& item : list.items) item.origin = text.origin;
    return list;
  }
  std::istringstream parts(text.scalar);
  for (std::string part; std::getline(parts, part, ',');) {
    Node item = text;
    item.scalar = without_outer_spaces(part);
    list.items.push_back(std::move(item));
  }
  return list;
}

}  // namespace

Reader::Reader(const Node& root) : root_(root) {}

std::string Reader::path(const std::string& key) const {
  return section_name_.empty() ? key : section_name_ + "." + key;
}

void Reader::begin_section(const char* name, const char*) {
  known_.push_back(name);
  section_name_ = name;
  section_ = root_.find(name);
  if (section_) {
    used_.push_back(section_);
    if (section_->kind == Node::Kind::kNull) section_ = nullptr;
  }
  if (section_ && section_->kind != Node::Kind::kMap) wrong_type(*section_, name, "'key: value' lines");
}

void Reader::end_section() {
  section_ = nullptr;
  section_name_.clear();
}

const Node* Reader::take(const char* key) {
  known_.push_back(path(key));
  const Node* node = section_ ? section_->find(key) : nullptr;
  if (node) used_.push_back(node);
  return node;
}

void Reader::integer(const char* key, std::int64_t& value, Range range, const char*, Effect) {
  const Node* node = take(key);
  if (!node) return;
  if (node->kind != Node::Kind::kScalar || !parse_number(node->scalar, value))
    wrong_type(*node, path(key), "a whole number", number_hint(node->scalar, /*whole=*/true));
  check_range(*node, path(key), static_cast<double>(value), range);
}

void Reader::number(const char* key, double& value, Range range, const char*, Effect) {
  const Node* node = take(key);
  if (!node) return;
  if (node->kind != Node::Kind::kScalar || !parse_number(node->scalar, value))
    wrong_type(*node, path(key), "a number", number_hint(node->scalar, /*whole=*/false));
  check_range(*node, path(key), value, range);
}

void Reader::boolean(const char* key, bool& value, const char*, Effect) {
  const Node* node = take(key);
  if (!node) return;
  const bool yes = is_one_of(node->scalar, {"true", "True", "TRUE"});
  if (node->kind != Node::Kind::kScalar || !(yes || is_one_of(node->scalar, {"false", "False", "FALSE"}))) {
    const bool older = is_one_of(
        node->scalar, {"yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "y", "n"});
    wrong_type(*node, path(key), "true or false", older ? " (yes, no, on and off are texts in YAML 1.2)" : "");
  }
  value = yes;
}

void Reader::text(const char* key, std::string& value, const char*, Effect) {
  const Node* node = take(key);
  if (!node) return;
  if (node->kind != Node::Kind::kScalar && node->kind != Node::Kind::kNull) wrong_type(*node, path(key), "text");
  value = node->scalar;
}

void Reader::texts(const char* key, std::vector<std::string>& values, const char*, Effect) {
  const Node* node = take(key);
  if (!node) return;
  values.clear();
  Node list;
  if (node->kind == Node::Kind::kScalar) {
    list = list_of(*node, path(key));
  } else if (node->kind == Node::Kind::kSequence) {
    list = *node;
  } else if (node->kind != Node::Kind::kNull) {
    wrong_type(*node, path(key), "a list of texts");
  }
  for (const Node& item : list.items) {
    if (item.kind != Node::Kind::kScalar) wrong_type(item, path(key), "texts");
    if (item.scalar.empty())
      throw UsageError(str(node->origin.str(), ": ", path(key), " has an empty text in its list"));
    values.push_back(item.scalar);
  }
}

void Reader::choice_index(const char* key, const std::vector<std::string>& names, int& index, const char*, Effect) {
  const Node* node = take(key);
  if (!node) return;
  const auto name = std::find(names.begin(), names.end(), node->scalar);
  if (node->kind != Node::Kind::kScalar || name == names.end()) wrong_type(*node, path(key), "one of " + print(names));
  index = static_cast<int>(name - names.begin());
}

void Reader::finish() const {
  const auto reject = [&](const Node& node, const std::string& key) {
    if (std::find(used_.begin(), used_.end(), &node) != used_.end()) return;
    std::string hint;
    const std::string tail = key.substr(key.rfind('.') + 1);
    for (const std::string& known : known_) {  // the right key in the wrong section, perhaps
      if (known.substr(known.rfind('.') + 1) == tail) hint = known;
    }
    if (hint.empty()) hint = nearest(key, known_);
    // "a.b: 1" in a file is one word, as on the command line, where the file's own form is nested.
    const std::size_t dot = hint.find('.');
    const bool dotted =
        node.origin.line > 0 && dot != std::string::npos && key.find('.') != std::string::npos && root_.find(key);
    throw UsageError(str(node.origin.str(), ": unknown key '", key, "'",
                         dotted ? "; in a file '" + hint.substr(0, dot) + ":' stands in a line of its own and '  " +
                                      hint.substr(dot + 1) + ": …' below it"
                         : hint.empty() ? ""
                                        : "; did you mean '" + hint + "'?"));
  };
  for (const auto& [name, section] : root_.entries) {
    for (const auto& [key, value] : section.entries) reject(value, name + "." + key);
    reject(section, name);
  }
}

void Writer::begin_section(const char* name, const char*) { yaml_ += str(name, ":\n"); }
void Writer::end_section() {}
void Writer::integer(const char* key, std::int64_t& value, Range, const char*, Effect) {
  yaml_ += str("  ", key, ": ", value, "\n");
}
void Writer::number(const char* key, double& value, Range, const char*, Effect) {
  yaml_ += str("  ", key, ": ", print(value), "\n");
}
void Writer::boolean(const char* key, bool& value, const char*, Effect) {
  yaml_ += str("  ", key, ": ", print(value), "\n");
}
void Writer::text(const char* key, std::string& value, const char*, Effect) {
  yaml_ += str("  ", key, ": ", print(value), "\n");
}
void Writer::texts(const char* key, std::vector<std::string>& values, const char*, Effect) {
  std::string list;
  for (const std::string& value : values) list += (list.empty() ? "" : ", ") + print(value);
  yaml_ += str("  ", key, ": [", list, "]\n");
}
void Writer::choice_index(const char* key, const std::vector<std::string>& names, int& index, const char*, Effect) {
  yaml_ += str("  ", key, ": ", names.at(static_cast<std::size_t>(index)), "\n");
}

void ReferenceWriter::begin_section(const char* name, const char* doc) {
  section_ = name;
  markdown_ += str("\n## ", name, "\n\n", doc, "\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
}
void ReferenceWriter::end_section() { section_.clear(); }
void ReferenceWriter::row(const char* key, const std::string& type, const std::string& value, const char* doc) {
  markdown_ +=
      str("| `", section_, ".", key, "` | ", type, " | ", value.empty() ? "" : "`" + value + "`", " | ", doc, " |\n");
}
void ReferenceWriter::integer(const char* key, std::int64_t& value, Range range, const char* doc, Effect) {
  row(key, str("whole number", range.min > -1e300 ? ", " : "", print(range)), str(value), doc);
}
void ReferenceWriter::number(const char* key, double& value, Range range, const char* doc, Effect) {
  row(key, str("number", range.min > -1e300 ? ", " : "", print(range)), print(value), doc);
}
void ReferenceWriter::boolean(const char* key, bool& value, const char* doc, Effect) {
  row(key, "true, false", print(value), doc);
}
void ReferenceWriter::text(const char* key, std::string& value, const char* doc, Effect) {
  row(key, "text", value, doc);
}
void ReferenceWriter::texts(const char* key, std::vector<std::string>& values, const char* doc, Effect) {
  row(key, "list", print(values), doc);
}
void ReferenceWriter::choice_index(const char* key, const std::vector<std::string>& names, int& index, const char* doc,
                                   Effect) {
  row(key, print(names), names.at(static_cast<std::size_t>(index)), doc);
}

}  // namespace axlstm::config
