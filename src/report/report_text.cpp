// The report as text: terminal, Markdown, LaTeX, CSV.
#include <algorithm>
#include <cmath>
#include <functional>
#include <iomanip>
#include <map>
#include <sstream>

#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/report/report.h"

namespace axlstm::report {
namespace {

constexpr const char* kTableScale = "s(m) table";
constexpr const char* kPublishedScale = "s(m) published";

std::string fixed(double value, int digits = 1) {
  if (std::isnan(value)) return "nan";
  return str(std::fixed, std::setprecision(digits), value);
}

/// "93.9 ± 0.7", "93.9" for one seed, a dash for nothing.
std::string cell(const std::optional<MeanInterval>& value, const char* plus_minus = " ± ") {
  if (!value) return "–";
  return fixed(value->mean) + (value->half_width ? plus_minus + fixed(*value->half_width) : "");
}

/// All cells of a table, the header first.
std::vector<std::vector<std::string>> cells_of(
    const ReportTable& table, const std::function<std::string(const std::optional<MeanInterval>&)>& print) {
  std::vector<std::vector<std::string>> lines{{"model"}};
  auto& header = lines.front();
  header.insert(header.end(), table.facts.begin(), table.facts.end());
  header.insert(header.end(), table.columns.begin(), table.columns.end());
  header.emplace_back(kTableScale);
  if (table.of_the_paper) header.emplace_back(kPublishedScale);
  for (const ReportRow& row : table.rows) {
    auto& line = lines.emplace_back(std::vector<std::string>{row.model});
    line.insert(line.end(), row.facts.begin(), row.facts.end());
    line.resize(1 + table.facts.size());
    for (const auto& score : row.scores) line.push_back(print(score));
    line.push_back(print(row.s_table));
    if (table.of_the_paper) line.push_back(print(row.s_published));
  }
  return lines;
}

/// Characters, not bytes, of UTF-8.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string escape_latex(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("&%$#_{}").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string escape_markdown(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("|*_<[\\").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

bool begins_group(const ReportTable& table, std::size_t row) {
  return row == 0 || table.rows[row].group != table.rows[row - 1].group;
}

}  // namespace

std::string terminal_report(const Report& report) {
  std::ostringstream out;
  for (const ReportTable& table : report.tables) {
    const auto lines = cells_of(table, [](const auto& value) { return cell(value, "±"); });
    std::vector<std::size_t> widths(lines.front().size(), 0);
    for (const auto& line : lines) {
      for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
    }
    out << table.title << "\n";
    for (std::size_t row = 0; row < lines.size(); ++row) {
      if (row > 0 && begins_group(table, row - 1)) out << "-- " << table.rows[row - 1].group << "\n";
      for (std::size_t i = 0; i < lines[row].size(); ++i) {
        const std::string padding(widths[i] - width(lines[row][i]), ' ');
        out << (i == 0 ? lines[row][i] + padding : "  " + padding + lines[row][i]);
      }
      out << "\n";
    }
    out << "\n";
  }
  for (const std::string& note : report.notes) out << note << "\n";
  return out.str();
}

std::string markdown_report(const Report& report) {
  std::ostringstream out;
  for (const ReportTable& table : report.tables) {
    const auto lines = cells_of(table, [](const auto& value) { return cell(value); });
    out << "## " << table.title << "\n\n";
    for (std::size_t row = 0; row < lines.size(); ++row) {
      out << "| " << (row == 0 ? "group" : escape_markdown(table.rows[row - 1].group)) << " |";
      for (const std::string& text : lines[row]) out << " " << escape_markdown(text) << " |";
      out << "\n";
      if (row > 0) continue;
      out << "| --- | --- |";
      for (std::size_t i = 1; i < lines[row].size(); ++i) out << " ---: |";
      out << "\n";
    }
    out << "\n";
  }
  for (const std::string& note : report.notes) out << note << "\n\n";
  return out.str();
}

std::string latex_report(const Report& report) {
  std::ostringstream out;
  out << "% needs \\usepackage{booktabs}\n";
  for (const std::string& note : report.notes) out << "% " << note << "\n";
  for (const ReportTable& table : report.tables) {
    const auto lines = cells_of(table, [](const std::optional<MeanInterval>& value) {
      return value ? cell(value, "{\\scriptsize$\\pm$") + (value->half_width ? "}" : "") : std::string("--");
    });
    out << "% " << table.title << "\n\\begin{tabular}{l" << std::string(lines.front().size() - 1, 'r')
        << "}\n\\toprule\n";
    for (std::size_t row = 0; row < lines.size(); ++row) {
      if (row > 0 && begins_group(table, row - 1)) {
        out << "\\midrule\n\\multicolumn{" << lines[row].size() << "}{l}{\\textit{"
            << escape_latex(table.rows[row - 1].group) << "}} \\\\\n";
      }
      for (std::size_t i = 0; i < lines[row].size(); ++i) {
        const bool is_name = row == 0 || i <= table.facts.size();
        out << (i == 0 ? "" : " & ") << (is_name ? escape_latex(lines[row][i]) : lines[row][i]);
      }
      out << " \\\\\n";
    }
    out << "\\bottomrule\n\\end{tabular}\n";
  }
  return out.str();
}

std::string csv_report(const Report& report) {
  // As configs/hear/table2.csv: a column and its interval; a table leaves the columns of the other one empty.
  std::vector<std::string> columns;
  for (const ReportTable& table : report.tables) {
    columns.insert(columns.end(), table.columns.begin(), table.columns.end());
  }
  columns.insert(columns.end(), {kTableScale, kPublishedScale});
  std::vector<std::string> facts;
  for (const ReportTable& table : report.tables) {
    if (facts.empty()) facts = table.facts;  // the tables of a report have the same ones
  }
  std::ostringstream out;
  out << "table,group,model,grid";
  for (const std::string& fact : facts) out << "," << csv_field(fact);
  for (const std::string& column : columns) {
    for (const char* suffix : {"", "_ci95", "_seeds"}) out << "," << csv_field(column + suffix);
  }
  out << "\n";
  for (const ReportTable& table : report.tables) {
    for (const ReportRow& row : table.rows) {
      std::map<std::string, MeanInterval> values;
      for (std::size_t i = 0; i < table.columns.size(); ++i) {
        if (row.scores[i]) values[table.columns[i]] = *row.scores[i];
      }
      if (row.s_table) values[kTableScale] = *row.s_table;
      if (row.s_published) values[kPublishedScale] = *row.s_published;
      for (const auto* text : {&table.title, &row.group, &row.model, &row.grid}) {
        out << (text == &table.title ? "" : ",") << csv_field(*text);
      }
      for (std::size_t i = 0; i < facts.size(); ++i)
        out << "," << (i < row.facts.size() ? csv_field(row.facts[i]) : "");
      for (const std::string& column : columns) {
        const auto found = values.find(column);
        if (found == values.end()) {
          out << ",,,";
          continue;
        }
        const auto& [mean, half_width, n] = found->second;
        out << "," << fixed(mean, 4) << "," << (half_width ? fixed(*half_width, 4) : "") << ","
            << (n > 0 ? std::to_string(n) : "");
      }
      out << "\n";
    }
  }
  return out.str();
}

}  // namespace axlstm::report
