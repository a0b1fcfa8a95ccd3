// The options of hear-eval.
#pragma once

#include <string>
#include <vector>

#include "axlstm/report/show.h"
#include "axlstm/runtime/options.h"
#include "axlstm/suite/evaluate.h"
#include "cli.h"

namespace axlstm::cli {

/// Everything that is not for `report`.
struct EvaluationArguments {
  std::vector<std::string> inputs;  ///< folders, or with --config assignments
  std::string config_file;
  suite::EvaluateArguments evaluate;
  runtime::DeviceChoice device = runtime::DeviceChoice::kCpu;
};

/// Returns the group of the options that do not go with --config.
const CLI::App& add_evaluation_options(CLI::App& app, EvaluationArguments& main);

void add_report_options(CLI::App& app, report::ReportArguments& arguments);

}  // namespace axlstm::cli
