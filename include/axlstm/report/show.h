// Folders of scores → tables, on the terminal and on disk.
#pragma once

#include <filesystem>
#include <vector>

#include "axlstm/report/report.h"

namespace axlstm::report {

struct ReportArguments {
  std::vector<std::filesystem::path> inputs;  ///< folders of scores
  std::filesystem::path output;               ///< gets report.md, .tex, .csv and .html; empty: terminal only
  std::filesystem::path published;            ///< instead of the paper's Table 2; a file in its form
  bool no_published = false;
  bool mix_grids = false;
};

/// Collects the scores and shows their report.
void report_scores(const ReportArguments& arguments);

/// Prints the tables and, unless `output` is empty, writes report.md, .tex, .csv and .html to it.
void show_report(const Report& report, const std::filesystem::path& output);

}  // namespace axlstm::report
