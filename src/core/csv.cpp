#include "axlstm/core/csv.h"

#include "axlstm/core/error.h"

namespace axlstm {

CsvReader::CsvReader(std::string_view text, std::string source) : text_(text), source_(std::move(source)) {
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

/// Up to the comma or line break after it.
std::string CsvReader::field() {
  std::string field;
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  if (at_ < text_.size() && text_[at_] == '"') {
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
  while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n') {
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

}  // namespace axlstm
