#include "axlstm/data/lists/class_list.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::data {
namespace {

constexpr std::size_t kMostCommas = 8;  // in one label

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Where the parts of a text begin that commas divide, and one more: behind its end.
std::vector<std::size_t> parts_of(std::string_view text) {
  std::vector<std::size_t> begins{0};
  for (std::size_t at = text.find(','); at != std::string_view::npos; at = text.find(',', at + 1))
    begins.push_back(at + 1);
  begins.push_back(text.size() + 1);
  return begins;
}

std::optional<std::size_t> column(const std::vector<std::string>& header,
                                  std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const auto found =
        std::find_if(header.begin(), header.end(), [&](const auto& text) { return trimmed(text) == name; });
    if (found != header.end()) return static_cast<std::size_t>(found - header.begin());
  }
  return std::nullopt;
}

ClassList read_table(const std::vector<CsvRow>& rows, std::size_t name_column, const std::string& source) {
  const auto& header = rows.front().fields;
  const auto index_column = column(header, {"index", "idx"}), mid_column = column(header, {"mid"});
  const std::size_t count = rows.size() - 1;
  std::vector<std::string> names(count), mids(count);
  for (std::size_t n = 1; n < rows.size(); ++n) {
    const auto& [line, fields] = rows[n];
    AXLSTM_CHECK(fields.size() == header.size(), source, ":", line, ": ", fields.size(), " fields, the header has ",
                 header.size());
    std::size_t index = n - 1;
    if (index_column) {
      const std::string& text = fields[*index_column];
      const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), index);
      AXLSTM_CHECK(failure == std::errc() && end == text.data() + text.size() && index < count, source, ":", line,
                   ": the index '", text, "' is no number from 0 to ", count - 1);
    }
    AXLSTM_CHECK(names[index].empty(), source, ":", line, ": index ", index, " is given twice");
    names[index] = trimmed(fields[name_column]);
    AXLSTM_CHECK(!names[index].empty(), source, ":", line, ": a class without a name");
    if (mid_column) mids[index] = fields[*mid_column];
  }
  ClassList classes(std::move(names), source);
  for (std::size_t index = 0; index < count && mid_column; ++index)
    classes.add_alias(mids[index], static_cast<std::int64_t>(index));
  return classes;
}

}  // namespace

ClassList::ClassList(std::vector<std::string> names, std::string source)
    : names_(std::move(names)), source_(std::move(source)) {
  AXLSTM_CHECK(names_.size() > 1, source_, ": ", names_.size(), " classes, two are needed at least");
  for (std::size_t index = 0; index < names_.size(); ++index) {
    AXLSTM_CHECK(indices_.emplace(names_[index], static_cast<std::int64_t>(index)).second, source_, ": the class '",
                 names_[index], "' is given twice");
  }
}

void ClassList::add_alias(std::string_view text, std::int64_t index) {
  const auto [place, is_new] = indices_.emplace(text, index);
  AXLSTM_CHECK(is_new || place->second == index, source_, ": '", text, "' means two classes, '",
               names_.at(static_cast<std::size_t>(place->second)), "' and '",
               names_.at(static_cast<std::size_t>(index)), "'");
}

const std::int64_t* ClassList::find(std::string_view text) const {
  const auto found = indices_.find(std::string(text));
  return found == indices_.end() ? nullptr : &found->second;
}

std::int64_t ClassList::only(std::string_view labels, const std::string& clip) const {
  const std::string_view text = trimmed(labels);
  AXLSTM_CHECK(!text.empty(), clip, ": has no label; add one to the list, or leave the clip out");
  if (const auto* index = find(text)) return *index;
  const std::size_t comma = text.find(',');
  AXLSTM_CHECK(comma == std::string_view::npos || find(trimmed(text.substr(0, comma))) == nullptr, clip,
               ": has several labels, '", text, "'; set classification.targets=multilabel, or give it one");
  throw Error(str(clip, ": the label '", text, "' is none of the ", size(), " classes of ", source_,
                  "; correct it, or add it there"));
}

std::vector<std::int64_t> ClassList::all(std::string_view labels, const std::string& clip) const {
  AXLSTM_CHECK(!trimmed(labels).empty(), clip, ": has no label; add one to the list, or leave the clip out");
  const std::vector<std::size_t> begins = parts_of(labels);
  std::set<std::int64_t> found;
  for (std::size_t first = 0; first + 1 < begins.size();) {
    const std::int64_t* index = nullptr;
    std::size_t behind = std::min(begins.size() - 1, first + 1 + kMostCommas);
    for (; behind > first && !index; --behind)
      index = find(trimmed(labels.substr(begins[first], begins[behind] - 1 - begins[first])));
    AXLSTM_CHECK(index, clip, ": the label '",
                 trimmed(labels.substr(begins[first], begins[first + 1] - 1 - begins[first])), "' is none of the ",
                 size(), " classes of ", source_, "; correct it, or add it there");
    found.insert(*index);
    first = behind + 1;
  }
  return {found.begin(), found.end()};
}

ClassList load_class_list(const std::filesystem::path& file) {
  const std::string text = read_file(file), source = file.string();
  const std::vector<CsvRow> rows = parse_csv(text, source);
  AXLSTM_CHECK(!rows.empty(), source, ": is empty");
  const auto names = column(rows.front().fields, {"display_name", "label", "name", "class"});
  if (names && rows.size() > 1) return read_table(rows, *names, source);
  std::vector<std::string> lines;
  std::string_view left = text;
  if (left.starts_with("\xEF\xBB\xBF")) left.remove_prefix(3);
  while (!left.empty()) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    if (const auto line = trimmed(left.substr(0, end)); !line.empty()) lines.emplace_back(line);
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return {std::move(lines), source};
}

std::vector<std::string> classes_of(const std::vector<std::string>& labels, bool exclusive) {
  std::set<std::string> names;
  for (const std::string& text : labels) {
    if (exclusive) {
      names.emplace(trimmed(text));
      continue;
    }
    const std::vector<std::size_t> begins = parts_of(text);
    for (std::size_t n = 0; n + 1 < begins.size(); ++n)
      names.emplace(trimmed(std::string_view(text).substr(begins[n], begins[n + 1] - 1 - begins[n])));
  }
  names.erase("");
  return {names.begin(), names.end()};
}

}  // namespace axlstm::data
