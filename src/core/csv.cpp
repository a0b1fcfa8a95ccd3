#include "axlstm/core/csv.h"

#include "axlstm/core/error.h"

namespace axlstm {

CsvReader::CsvReader(std::string_view text, std::string source, char delimiter)
    : text_(text), source_(std::move(source)), delimiter_(delimiter) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
}

std::optional<CsvRow> CsvReader::next() {
  while (at_ < text_.size()) {
    CsvRow row{line_, {}};
    bool row_ended = false;
    while (!row_ended) {
      row.fields.push_back(field());
      row_ended = at_ >= text_.size() || text_[at_] == '\n';
      if (at_ < text_.size()) ++at_;
    }
    ++line_;
    if (row.fields.size() > 1 || !row.fields.front().empty()) return row;
  }
  return std::nullopt;
}

bool CsvReader::begins_quoted_field() const {
  if (at_ >= text_.size() || text_[at_] != '"') return false;
  if (delimiter_ != '\t') return true;
  const std::string_view rest = text_.substr(at_ + 1, text_.find('\n', at_) - at_ - 1);
  for (std::size_t quote = rest.find('"'); quote != std::string_view::npos; quote = rest.find('"', quote + 1)) {
    const std::string_view after = rest.substr(quote + 1);
    if (after.starts_with('"')) {
      ++quote;
    } else {
      return after.empty() || after.starts_with('\t') || after == "\r";
    }
  }
  return false;
}

/// Up to the delimiter or line break after it.
std::string CsvReader::field() {
  std::string field;
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t') && text_[at_] != delimiter_) ++at_;
  if (begins_quoted_field()) {
    const int opened = line_;
    for (++at_;; ++at_) {
      AXLSTM_CHECK(at_ < text_.size(), source_, ":", opened, ": a quoted field is never closed");
      if (text_[at_] == '"') {
        ++at_;
        if (at_ >= text_.size() || text_[at_] != '"') break;
      }
      if (text_[at_] == '\n') ++line_;
      field += text_[at_];
    }
  }
  while (at_ < text_.size() && text_[at_] != delimiter_ && text_[at_] != '\n') {
    if (text_[at_] != '\r') field += text_[at_];
    ++at_;
  }
  return field;
}

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& source) {
  CsvReader reader(text, source);
  std::vector<CsvRow> rows;
  while (auto row = reader.next()) rows.push_back(std::move(*row));
  return rows;
}

std::string csv_field(const std::string& text) {
  return text.find_first_of(",\"\n") == std::string::npos ? text : csv_quoted(text);
}

std::string csv_quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

}  // namespace axlstm
