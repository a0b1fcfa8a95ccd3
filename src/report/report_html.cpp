// The report as one page: tables and SVG plots, nothing to load from elsewhere.
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "axlstm/core/error.h"
#include "axlstm/report/report.h"

namespace axlstm::report {
namespace {

constexpr const char* kStyle = R"css(
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-size: 13px; margin: 1em 0; }
th, td { padding: .2em .6em; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #444; }
tr.group td { border-top: 1px solid #999; font-style: italic; color: #555; }
tr.own { background: #fff3e0; font-weight: 600; }
small { color: #777; font-weight: 400; }
svg { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: #333; }
)css";
constexpr const char* kPublishedColour = "#9aa5b1";

/// Colours of the models evaluated here, told apart also by those who see red and green alike (Okabe & Ito).
std::string own_colour(std::size_t i) {
  constexpr const char* kColours[] = {"#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
  return kColours[i % std::size(kColours)];
}

std::string escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    escaped += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : std::string(1, c);
  }
  return escaped;
}

std::string number(double value) { return str(std::fixed, std::setprecision(1), value); }

std::string with_interval(const MeanInterval& value) {
  return number(value.mean) + (value.half_width ? " ± " + number(*value.half_width) : "");
}

std::string cell(const std::optional<MeanInterval>& value) {
  if (!value) return "<td>–</td>";
  return "<td>" + number(value->mean) +
         (value->half_width ? " <small>± " + number(*value->half_width) + "</small>" : "") + "</td>";
}

/// The colour of each row.
std::vector<std::string> colours(const ReportTable& table) {
  std::vector<std::string> result;
  std::size_t own = 0;
  for (const ReportRow& row : table.rows) result.push_back(row.published ? kPublishedColour : own_colour(own++));
  return result;
}

void put_table(std::ostream& out, const ReportTable& table) {
  out << "<table><thead><tr><th>model</th>";
  for (const std::string& fact : table.facts) out << "<th>" << escape(fact) << "</th>";
  for (const std::string& column : table.columns) out << "<th>" << escape(column) << "</th>";
  out << "<th>s(m)<br><small>table</small></th>";
  if (table.of_the_paper) out << "<th>s(m)<br><small>published</small></th>";
  out << "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const ReportRow& row = table.rows[i];
    if (i == 0 || row.group != table.rows[i - 1].group) {
      out << "<tr class=\"group\"><td colspan=\"" << table.columns.size() + table.facts.size() + 3 << "\">"
          << escape(row.group) << "</td></tr>\n";
    }
    out << "<tr" << (row.published ? "" : " class=\"own\"") << "><td>" << escape(row.model) << "</td>";
    for (std::size_t fact = 0; fact < table.facts.size(); ++fact) {
      out << "<td>" << (fact < row.facts.size() ? escape(row.facts[fact]) : "") << "</td>";
    }
    for (const auto& score : row.scores) out << cell(score);
    out << cell(row.s_table);
    if (table.of_the_paper) out << cell(row.s_published);
    out << "</tr>\n";
  }
  out << "</tbody></table>\n";
}

/// The line of an interval.
void put_interval(std::ostream& out, double x0, double y0, double x1, double y1, const std::string& colour) {
  out << "<line x1=\"" << number(x0) << "\" y1=\"" << number(y0) << "\" x2=\"" << number(x1) << "\" y2=\"" << number(y1)
      << "\" stroke=\"" << colour << "\" stroke-width=\"2\"/>";
}

/// The scores of all rows in a column of dots for each task.
void put_scores_plot(std::ostream& out, const ReportTable& table) {
  constexpr double kLeft = 45, kTop = 15, kHeight = 320, kStep = 100;
  const double width = kLeft + kStep * static_cast<double>(table.columns.size()) + 10;
  const auto y = [&](double score) { return kTop + kHeight * (1.0 - std::clamp(score, 0.0, 100.0) / 100.0); };
  out << "<svg viewBox=\"0 0 " << width << " " << kTop + kHeight + 40 << "\" width=\"" << width
      << "\" role=\"img\" aria-label=\"score per task\">\n";
  for (int grid = 0; grid <= 100; grid += 20) {
    out << "<line x1=\"" << kLeft << "\" x2=\"" << width - 10 << "\" y1=\"" << y(grid) << "\" y2=\"" << y(grid)
        << "\" stroke=\"#ddd\"/><text x=\"" << kLeft - 8 << "\" y=\"" << y(grid) + 4 << "\" text-anchor=\"end\">"
        << grid << "</text>\n";
  }
  const auto colour = colours(table);
  const auto rows = static_cast<double>(table.rows.size());
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    const double left = kLeft + kStep * static_cast<double>(column);
    out << "<text x=\"" << left + kStep / 2 << "\" y=\"" << kTop + kHeight + 18 << "\" text-anchor=\"middle\">"
        << escape(table.columns[column].substr(0, 14)) << "<title>" << escape(table.columns[column])
        << "</title></text>\n";
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const ReportRow& row = table.rows[i];
      if (!row.scores[column] || std::isnan(row.scores[column]->mean)) continue;
      const MeanInterval& score = *row.scores[column];
      const double x = left + 10 + (kStep - 20) * (static_cast<double>(i) + 0.5) / rows;
      const double half = score.half_width.value_or(0.0);
      if (half > 0.0) put_interval(out, x, y(score.mean - half), x, y(score.mean + half), colour[i]);
      out << "<circle cx=\"" << number(x) << "\" cy=\"" << number(y(score.mean)) << "\" r=\"" << (row.published ? 3 : 5)
          << "\" fill=\"" << colour[i] << "\"><title>" << escape(row.model) << ", " << escape(table.columns[column])
          << ": " << with_interval(score) << "</title></circle>\n";
    }
  }
  out << "</svg>\n";
}

/// A bar for each row that has s(m), on one of the scales.
void put_s_plot(std::ostream& out, const ReportTable& table, std::optional<MeanInterval> ReportRow::*s,
                const std::string& scale) {
  constexpr double kLeft = 220, kWidth = 500, kBar = 20;
  const auto colour = colours(table);
  std::vector<std::size_t> shown;
  double limit = 100.0;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    if (!(table.rows[i].*s) || std::isnan((table.rows[i].*s)->mean)) continue;
    shown.push_back(i);
    limit = std::max(limit, (table.rows[i].*s)->mean + (table.rows[i].*s)->half_width.value_or(0.0));
  }
  if (shown.empty()) return;
  const auto x = [&](double value) { return kLeft + kWidth * std::max(value, 0.0) / limit; };
  out << "<h3>s(m), " << scale << " scale</h3>\n<svg viewBox=\"0 0 " << kLeft + kWidth + 110 << " "
      << kBar * static_cast<double>(shown.size()) + 10 << "\" width=\"" << kLeft + kWidth + 110
      << "\" role=\"img\" aria-label=\"s(m), " << scale << " scale\">\n";
  for (std::size_t line = 0; line < shown.size(); ++line) {
    const ReportRow& row = table.rows[shown[line]];
    const MeanInterval& value = *(row.*s);
    const double top = kBar * static_cast<double>(line) + 5, middle = top + kBar / 2;
    out << "<text x=\"" << kLeft - 8 << "\" y=\"" << middle + 4 << "\" text-anchor=\"end\">" << escape(row.model)
        << "</text><rect x=\"" << kLeft << "\" y=\"" << top + 3 << "\" width=\"" << number(x(value.mean) - kLeft)
        << "\" height=\"" << kBar - 6 << "\" fill=\"" << colour[shown[line]] << "\"/>";
    const double half = value.half_width.value_or(0.0);
    if (half > 0.0) put_interval(out, x(value.mean - half), middle, x(value.mean + half), middle, "#222");
    out << "<text x=\"" << number(x(value.mean + half) + 6) << "\" y=\"" << middle + 4 << "\">" << with_interval(value)
        << "</text>\n";
  }
  out << "</svg>\n";
}

}  // namespace

std::string html_report(const Report& report) {
  std::ostringstream out;
  out << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>HEAR scores</title><style>" << kStyle
      << "</style></head><body>\n<h1>HEAR scores</h1>\n";
  for (const ReportTable& table : report.tables) {
    out << "<h2>" << escape(table.title) << "</h2>\n";
    put_table(out, table);
    out << "<h3>Score per task</h3>\n";
    put_scores_plot(out, table);
    put_s_plot(out, table, &ReportRow::s_table, "table");
    if (table.of_the_paper) put_s_plot(out, table, &ReportRow::s_published, "published");
  }
  for (const std::string& note : report.notes) out << "<p>" << escape(note) << "</p>\n";
  out << "</body></html>\n";
  return out.str();
}

}  // namespace axlstm::report
