// Comma-separated values as RFC 4180 and pandas write them, and those separated by tabs or other characters.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace axlstm {

struct CsvRow {
  int line = 0;  ///< 1-based line of the file on which the row starts
  std::vector<std::string> fields;
};

/// Row after row, for lists of millions of lines; `text` must outlive it. Between tabs a quote that is not closed
/// before the next tab or line break is a letter: many tools write tables without quoting.
class CsvReader {
 public:
  CsvReader(std::string_view text, std::string source, char delimiter = ',');
  std::optional<CsvRow> next();

 private:
  std::string field();
  bool begins_quoted_field() const;

  std::string_view text_;
  std::string source_;
  char delimiter_;
  std::size_t at_ = 0;
  int line_ = 1;
};

/// Splits `text` into rows; quoted fields may hold commas, doubled quotes and line breaks; blank lines and a byte
/// order mark are dropped, spaces after a comma too (AudioSet's files write ", "). `source` names the text in errors.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& source);

/// A field as it is written: quoted if it holds commas, quotes or line breaks. csv_quoted: in any case.
std::string csv_field(const std::string& text);
std::string csv_quoted(const std::string& text);

}  // namespace axlstm
