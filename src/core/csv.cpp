#include "axlstm/core/csv.h"

#include "axlstm/core/error.h"

namespace axlstm {

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& source) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark) text.remove_prefix(kByteOrderMark.size());

  std::vector<CsvRow> rows;
  int line = 1;
  std::size_t at = 0;
  while (at < text.size()) {
    CsvRow row{line, {}};
    bool row_ended = false;
    while (!row_ended) {
      std::string field;
      while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
      if (at < text.size() && text[at] == '"') {
        const int opened = line;
        for (++at;; ++at) {
          AXLSTM_CHECK(at < text.size(), source, ":", opened, ": a quoted field is never closed");
          if (text[at] == '"') {
            ++at;
            if (at >= text.size() || text[at] != '"') break;
          }
          if (text[at] == '\n') ++line;
          field += text[at];
        }
      }
      while (at < text.size() && text[at] != ',' && text[at] != '\n') {
        if (text[at] != '\r') field += text[at];
        ++at;
      }
      row.fields.push_back(std::move(field));
      row_ended = at >= text.size() || text[at] == '\n';
      if (at < text.size()) ++at;
    }
    ++line;
    if (row.fields.size() > 1 || !row.fields.front().empty()) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace axlstm
