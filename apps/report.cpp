#include "report.h"

#include <iostream>

#include "axlstm/core/files.h"
#include "axlstm/core/log.h"

namespace axlstm::cli {

ExitCode report(const ReportArguments& arguments) {
  hear::ReportOptions options;
  options.mix_grids = arguments.mix_grids;
  if (!arguments.no_published) {
    const bool own_file = !arguments.published.empty();
    options.published = hear::parse_published(own_file ? read_file(arguments.published) : hear::table2_csv(),
                                              own_file ? arguments.published.string() : "Table 2");
  }
  const hear::Report report = hear::make_report(hear::collect_scores(arguments.inputs), options);
  show_report(report, arguments.output);
  return kOk;
}

void show_report(const hear::Report& report, const std::filesystem::path& output) {
  std::cout << hear::terminal_report(report) << std::flush;
  if (output.empty()) return;
  std::filesystem::create_directories(output);
  write_file_atomic(output / "report.md", hear::markdown_report(report));
  write_file_atomic(output / "report.tex", hear::latex_report(report));
  write_file_atomic(output / "report.csv", hear::csv_report(report));
  write_file_atomic(output / "report.html", hear::html_report(report));
  log::info("written: " + (output / "report.{md,tex,csv,html}").string());
}

}  // namespace axlstm::cli
