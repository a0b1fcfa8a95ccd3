// `hear-eval report`: folders of scores → tables.
#pragma once

#include <filesystem>
#include <vector>

#include "axlstm/hear/report.h"
#include "cli.h"

namespace axlstm::cli {

struct ReportArguments {
  std::vector<std::filesystem::path> inputs;  ///< folders of scores
  std::filesystem::path output;               ///< gets report.md, .tex, .csv and .html; empty: terminal only
  std::filesystem::path published;            ///< instead of the paper's Table 2; a file in its form
  bool no_published = false;
  bool mix_grids = false;
};

ExitCode report(const ReportArguments& arguments);

/// Prints the tables and, unless `output` is empty, writes report.md, .tex, .csv and .html to it.
void show_report(const hear::Report& report, const std::filesystem::path& output);

}  // namespace axlstm::cli
