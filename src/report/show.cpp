#include "axlstm/report/show.h"

#include <iostream>

#include "axlstm/core/files.h"
#include "axlstm/core/log.h"

namespace axlstm::report {

void report_scores(const ReportArguments& arguments) {
  ReportOptions options;
  options.mix_grids = arguments.mix_grids;
  if (!arguments.no_published) {
    const bool own_file = !arguments.published.empty();
    options.published = parse_published(own_file ? read_file(arguments.published) : table2_csv(),
                                        own_file ? arguments.published.string() : "Table 2");
  }
  const Report report = make_report(collect_scores(arguments.inputs), options);
  show_report(report, arguments.output);
}

void show_report(const Report& report, const std::filesystem::path& output) {
  std::cout << terminal_report(report) << std::flush;
  if (output.empty()) return;
  std::filesystem::create_directories(output);
  write_file_atomic(output / "report.md", markdown_report(report));
  write_file_atomic(output / "report.tex", latex_report(report));
  write_file_atomic(output / "report.csv", csv_report(report));
  write_file_atomic(output / "report.html", html_report(report));
  log::info("written: " + (output / "report.{md,tex,csv,html}").string());
}

}  // namespace axlstm::report
