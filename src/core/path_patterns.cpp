#include "axlstm/core/path_patterns.h"

#include <glob.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr std::size_t kMaxWords = 1'000'000;
constexpr int kMaxDepth = 20;

/// Where the brace opened at `open` closes, and its commas; nothing if it does not close.
struct Brace {
  std::size_t close = 0;
  std::vector<std::size_t> commas;
};

std::optional<Brace> brace_at(const std::string& text, std::size_t open) {
  Brace brace;
  int depth = 0;
  for (std::size_t at = open; at < text.size(); ++at) {
    if (text[at] == '{') ++depth;
    if (text[at] == ',' && depth == 1) brace.commas.push_back(at);
    if (text[at] == '}' && --depth == 0) {
      brace.close = at;
      return brace;
    }
  }
  return std::nullopt;
}

std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t value = 0;
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, status] = std::from_chars(begin, text.data() + text.size(), value);
  constexpr std::int64_t kMost = std::int64_t{1} << 53;
  if (status != std::errc() || end != text.data() + text.size() || value > kMost || value < -kMost) return std::nullopt;
  return value;
}

bool has_leading_zero(const std::string& text) {
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  return text.size() > first + 1 && text[first] == '0';
}

/// "1..5", "000..099", "a..e", "0..9..3" between braces; nothing if it is no sequence.
std::optional<Words> sequence(const std::string& text) {
  Words parts;
  std::size_t begin = 0;
  for (std::size_t dots = text.find(".."); dots != std::string::npos; dots = text.find("..", begin)) {
    parts.push_back(text.substr(begin, dots - begin));
    begin = dots + 2;
  }
  parts.push_back(text.substr(begin));
  if (parts.size() < 2 || parts.size() > 3) return std::nullopt;
  auto first = whole_number(parts[0]), last = whole_number(parts[1]);
  const auto is_letter = [](const std::string& part) { return part.size() == 1 && std::isalpha(part[0]) != 0; };
  const bool letters = !first && !last && is_letter(parts[0]) && is_letter(parts[1]);
  if (letters) {
    first = parts[0][0];
    last = parts[1][0];
  }
  const auto step = parts.size() == 3 ? whole_number(parts[2]) : 1;
  if (!first || !last || !step) return std::nullopt;
  const std::int64_t by = *step == 0 ? 1 : std::abs(*step);
  const auto count = static_cast<std::uint64_t>(std::abs(*last - *first) / by) + 1;
  if (count > kMaxWords) throw UsageError(str("{", text, "} stands for ", count, " names; at most ", kMaxWords));
  const std::size_t width =
      has_leading_zero(parts[0]) || has_leading_zero(parts[1]) ? std::max(parts[0].size(), parts[1].size()) : 0;
  Words words;
  for (std::uint64_t n = 0; n < count; ++n) {
    const std::int64_t value = *first + (*first <= *last ? 1 : -1) * by * static_cast<std::int64_t>(n);
    if (letters) {
      words.push_back(std::string(1, static_cast<char>(value)));
      continue;
    }
    std::string digits = std::to_string(std::abs(value));
    const std::size_t signs = value < 0 ? 1 : 0;
    if (digits.size() + signs < width) digits.insert(0, width - signs - digits.size(), '0');
    words.push_back((signs > 0 ? "-" : "") + digits);
  }
  return words;
}

Words expand(const std::string& text, int depth) {
  if (depth > kMaxDepth) throw UsageError(str("'", text, "': too many braces in each other"));
  for (std::size_t open = text.find('{'); open != std::string::npos; open = text.find('{', open + 1)) {
    const auto brace = brace_at(text, open);
    if (!brace) continue;
    Words middle;
    if (brace->commas.empty()) {
      const auto words = sequence(text.substr(open + 1, brace->close - open - 1));
      if (!words) continue;
      middle = *words;
    } else {
      std::size_t begin = open + 1;
      std::vector<std::size_t> ends = brace->commas;
      ends.push_back(brace->close);
      for (const std::size_t end : ends) {
        const Words inner = expand(text.substr(begin, end - begin), depth + 1);
        middle.insert(middle.end(), inner.begin(), inner.end());
        begin = end + 1;
      }
    }
    const std::string head = text.substr(0, open);
    const Words tails = expand(text.substr(brace->close + 1), depth + 1);
    if (middle.size() * tails.size() > kMaxWords)
      throw UsageError(str("'", text, "' stands for more than ", kMaxWords, " names"));
    Words words;
    words.reserve(middle.size() * tails.size());
    for (const std::string& word : middle)
      for (const std::string& tail : tails) words.push_back(head + word + tail);
    return words;
  }
  return {text};
}

Words matches(const std::string& pattern) {
  glob_t found{};
  const std::unique_ptr<glob_t, decltype(&globfree)> owner(&found, &globfree);
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  if (status != 0 && status != GLOB_NOMATCH) throw Error(str(pattern, ": cannot be looked up"));
  Words words(found.gl_pathv, found.gl_pathv + (status == 0 ? found.gl_pathc : 0));
  std::sort(words.begin(), words.end());
  return words;
}

}  // namespace

std::vector<std::string> expand_braces(const std::string& pattern) { return expand(pattern, 0); }

std::vector<fs::path> expand_paths(const std::vector<std::string>& patterns) {
  std::vector<fs::path> paths;
  std::error_code failure;
  for (const std::string& given : patterns) {
    const std::string whole = expand_home(given).string();
    for (const std::string& word : fs::exists(whole, failure) ? Words{whole} : expand_braces(whole)) {
      Words found = fs::exists(word, failure) ? Words{word} : Words{};
      const bool is_pattern = word.find_first_of("*?[") != std::string::npos;
      if (found.empty() && is_pattern) found = matches(word);
      if (found.empty())
        throw Error(str(word, is_pattern ? ": nothing has such a name" : ": no such archive, file or folder",
                        word == whole ? "" : str(" (of '", given, "')")));
      paths.insert(paths.end(), found.begin(), found.end());
    }
  }
  return paths;
}

}  // namespace axlstm
