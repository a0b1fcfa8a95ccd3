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
.wide { overflow-x: auto; }
svg { display: block; }
svg text { font: 12px system-ui, sans-serif; fill: #333; }
svg g:hover .mark { stroke: #000; stroke-width: 2; }
.legend { font-size: 13px; margin: .5em 0; padding: 0; }
p, .legend { overflow-wrap: anywhere; }
.legend li { display: inline-block; margin-right: 1.2em; }
.legend svg { display: inline-block; vertical-align: -1px; margin-right: .3em; }
)css";
constexpr const char* kPublishedColour = "#9aa5b1";

/// How a row is drawn.
struct Mark {
  std::string colour = kPublishedColour;
  double radius = 3;
  std::size_t shape = 0;  ///< circle, square, diamond
};

/// Of the models evaluated here. Six colours, told apart also by those who see red and green alike (Okabe & Ito);
/// models beyond the sixth have other shapes.
Mark own_mark(std::size_t i) {
  constexpr const char* kColours[] = {"#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
  return {kColours[i % std::size(kColours)], 5, i / std::size(kColours) % 3};
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

/// Of each row.
std::vector<Mark> marks(const ReportTable& table) {
  std::vector<Mark> result;
  std::size_t own = 0;
  for (const ReportRow& row : table.rows) result.push_back(row.published ? Mark{} : own_mark(own++));
  return result;
}

void put_mark(std::ostream& out, double x, double y, const Mark& mark) {
  if (mark.shape == 0) {
    out << "<circle class=\"mark\" cx=\"" << number(x) << "\" cy=\"" << number(y) << "\" r=\"" << mark.radius;
  } else {
    out << "<rect class=\"mark\" x=\"" << number(x - mark.radius) << "\" y=\"" << number(y - mark.radius)
        << "\" width=\"" << 2 * mark.radius << "\" height=\"" << 2 * mark.radius;
    if (mark.shape == 2) out << "\" transform=\"rotate(45 " << number(x) << " " << number(y) << ")";
  }
  out << "\" fill=\"" << mark.colour << "\"/>";
}

/// The marks of the models evaluated here, and the one of all published rows.
void put_legend(std::ostream& out, const ReportTable& table) {
  out << "<ul class=\"legend\">";
  const auto put = [&](const Mark& mark, const std::string& name) {
    out << "<li><svg width=\"16\" height=\"16\">";
    put_mark(out, 8, 8, mark);
    out << "</svg>" << escape(name) << "</li>";
  };
  const auto mark = marks(table);
  bool published = false;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    published = published || table.rows[i].published;
    if (!table.rows[i].published) put(mark[i], table.rows[i].model);
  }
  if (published) put(Mark{}, "published");
  out << "</ul>\n";
}

void put_table(std::ostream& out, const ReportTable& table) {
  out << "<div class=\"wide\"><table><thead><tr><th>model</th>";
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
  out << "</tbody></table></div>\n";
}

/// The line of an interval.
void put_interval(std::ostream& out, double x0, double y0, double x1, double y1, const std::string& colour) {
  out << "<line x1=\"" << number(x0) << "\" y1=\"" << number(y0) << "\" x2=\"" << number(x1) << "\" y2=\"" << number(y1)
      << "\" stroke=\"" << colour << "\" stroke-width=\"2\"/>";
}

/// The scores of all rows in a column of marks for each task; their names and values on hover.
void put_scores_plot(std::ostream& out, const ReportTable& table) {
  constexpr double kLeft = 45, kTop = 15, kHeight = 320, kStep = 100;
  const double width = kLeft + kStep * static_cast<double>(table.columns.size()) + 10;
  const auto y = [&](double score) { return kTop + kHeight * (1.0 - std::clamp(score, 0.0, 100.0) / 100.0); };
  out << "<div class=\"wide\"><svg viewBox=\"0 0 " << width << " " << kTop + kHeight + 40 << "\" width=\"" << width
      << "\" role=\"img\" aria-label=\"score per task\">\n";
  for (int grid = 0; grid <= 100; grid += 20) {
    out << "<line x1=\"" << kLeft << "\" x2=\"" << width - 10 << "\" y1=\"" << y(grid) << "\" y2=\"" << y(grid)
        << "\" stroke=\"#ddd\"/><text x=\"" << kLeft - 8 << "\" y=\"" << y(grid) + 4 << "\" text-anchor=\"end\">"
        << grid << "</text>\n";
  }
  const auto mark = marks(table);
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
      out << "<g><title>" << escape(row.model) << ", " << escape(table.columns[column]) << ": " << with_interval(score)
          << "</title>";
      if (half > 0.0) put_interval(out, x, y(score.mean - half), x, y(score.mean + half), mark[i].colour);
      put_mark(out, x, y(score.mean), mark[i]);
      out << "</g>\n";
    }
  }
  out << "</svg></div>\n";
}

/// A bar for each row that has s(m), on one of the scales.
void put_s_plot(std::ostream& out, const ReportTable& table, std::optional<MeanInterval> ReportRow::*s,
                const std::string& scale) {
  constexpr double kWidth = 500, kBar = 20, kLetter = 7;
  const auto mark = marks(table);
  std::vector<std::size_t> shown;
  double limit = 100.0, left = 100.0;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    if (!(table.rows[i].*s) || std::isnan((table.rows[i].*s)->mean)) continue;
    shown.push_back(i);
    left = std::max(left, 16 + kLetter * static_cast<double>(table.rows[i].model.size()));
    limit = std::max(limit, (table.rows[i].*s)->mean + (table.rows[i].*s)->half_width.value_or(0.0));
  }
  if (shown.empty()) return;
  const auto x = [&](double value) { return left + kWidth * std::max(value, 0.0) / limit; };
  out << "<h3>s(m), " << scale << " scale</h3>\n<div class=\"wide\"><svg viewBox=\"0 0 " << left + kWidth + 110 << " "
      << kBar * static_cast<double>(shown.size()) + 10 << "\" width=\"" << left + kWidth + 110
      << "\" role=\"img\" aria-label=\"s(m), " << scale << " scale\">\n";
  for (std::size_t line = 0; line < shown.size(); ++line) {
    const ReportRow& row = table.rows[shown[line]];
    const MeanInterval& value = *(row.*s);
    const double top = kBar * static_cast<double>(line) + 5, middle = top + kBar / 2;
    out << "<g><title>" << escape(row.model) << ": " << with_interval(value) << "</title><text x=\"0\" y=\""
        << middle + 4 << "\">" << escape(row.model) << "</text><rect class=\"mark\" x=\"" << left << "\" y=\""
        << top + 3 << "\" width=\"" << number(x(value.mean) - left) << "\" height=\"" << kBar - 6 << "\" fill=\""
        << mark[shown[line]].colour << "\"/>";
    const double half = value.half_width.value_or(0.0);
    if (half > 0.0) put_interval(out, x(value.mean - half), middle, x(value.mean + half), middle, "#222");
    out << "<text x=\"" << number(x(value.mean + half) + 6) << "\" y=\"" << middle + 4 << "\">" << with_interval(value)
        << "</text></g>\n";
  }
  out << "</svg></div>\n";
}

}  // namespace

std::string html_report(const Report& report) {
  std::ostringstream out;
  out << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width\"><title>HEAR scores</title><style>"
      << kStyle << "</style></head><body>\n<h1>HEAR scores</h1>\n";
  for (const ReportTable& table : report.tables) {
    out << "<h2>" << escape(table.title) << "</h2>\n";
    put_table(out, table);
    out << "<h3>Score per task</h3>\n";
    put_legend(out, table);
    put_scores_plot(out, table);
    put_s_plot(out, table, &ReportRow::s_table, "table");
    if (table.of_the_paper) put_s_plot(out, table, &ReportRow::s_published, "published");
  }
  for (const std::string& note : report.notes) out << "<p>" << escape(note) << "</p>\n";
  out << "</body></html>\n";
  return out.str();
}

}  // namespace axlstm::report
